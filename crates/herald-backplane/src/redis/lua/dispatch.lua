-- Appends notices to their users' inboxes, looks up the users' sessions and tells the gateways that
-- own one: of each user in a single step, so that a session either is among those told or finds the
-- notice. What is refused of one notice does not touch the others.
--
-- KEYS  of each notice in turn: state · inbox · sessions · idempotency keys · and, if they are to be
--       kept, receipts
-- ARGV  1 prefix of gateway channels · 2 notices kept, and idempotency keys · 3 bytes kept
--       4 age kept, ms · 5 life of the state, ms · 6 life of the inbox, ms
--       7 how long after they were prolonged both lives are still long enough, ms · 8 life of a key, ms
--       9 receipts kept; then of each notice in turn:
--       1 deadline, ms of Redis' clock · 2 epoch for a new state · 3 random part · 4 stored notice
--       5 how long it is good, ms, or 0 for always · 6 announcement without place and notice
--       7 what stands before the stored notice in it, or '' if it is too large
--       8 idempotency key with its caller, or '' · 9 digest of what it stands for
--       10 '1' if receipts are to be kept
-- gives of each notice a text that accepted.rs reads, or { why it was refused }; an error instead if
--       all were refused for the same

local COMMON, EACH = 9, 10

local now = now_ms()
local channels, most_kept = ARGV[1], tonumber(ARGV[2])
-- Notices beyond that number before those that are too many go together: one by one, that costs each
-- append nearly as much as the append itself. Bytes are kept to, since they are what fills the memory.
local slack = math.min(math.floor(most_kept / 64), 16)
local age, long_enough, key_life = tonumber(ARGV[4]), tonumber(ARGV[7]), tonumber(ARGV[8])

-- What is to be told of a notice that was accepted, with the first of its keys and arguments.
local function letter(k, a, kind, position, random, epoch, duplicate, sessions, message)
  return { k = k, a = a, kind = kind, gateways = owners(sessions), message = message,
    position = position, random = random, epoch = epoch, duplicate = duplicate, sessions = sessions }
end

-- What is answered of a letter: numbers little-endian, names after a byte with their size, and the
-- message and each session after four.
local function packed(letter)
  local message, listeners, sessions = letter.told[1], letter.told[2], letter.sessions
  local parts = { struct.pack('<I8BBc0Bc0Bc0I4c0I2', now, letter.duplicate, #letter.position, letter.position,
    #letter.random, letter.random, #letter.epoch, letter.epoch, #message, message, #listeners / 2) }
  for i = 1, #listeners, 2 do
    parts[#parts + 1] = struct.pack('<Bc0I4', #listeners[i], listeners[i], listeners[i + 1])
  end
  for i = 1, #sessions, 2 do
    parts[#parts + 1] = struct.pack('<Bc0I4c0', #sessions[i], sessions[i], #sessions[i + 1], sessions[i + 1])
  end
  return table.concat(parts)
end

-- Accepts the notice whose keys and arguments begin at these. Gives a letter, or a refusal.
local function accept(k, a)
  local refused = late(now, ARGV[a])
  if refused then return refused end
  local state, inbox, key = KEYS[k], KEYS[k + 1], ARGV[a + 7]
  local s = load_state(state)
  local sessions = redis.call('HGETALL', KEYS[k + 2])

  -- A key that was used: nothing is appended. Whoever lacks that notice finds that the position
  -- before it is not the one they stand at, and reads.
  local used = key ~= '' and find_key(KEYS[k + 3], s and s.e or '', key, now - key_life)
  if used then
    if used.digest ~= ARGV[a + 8] then
      return redis.error_reply('HERALDKEYUSED the idempotency key was used for another notice')
    end
    -- A use of the inbox; and a write, so that who waits for replicas waits for this notice again.
    redis.call('PEXPIRE', state, ARGV[5])
    local at, random = used.position, used.random
    return letter(k, a, 'd', at, random, s.e, 1, sessions, place(at, random, at, random) .. ARGV[a + 5] .. IN_INBOX)
  end

  local stored, random = ARGV[a + 3], ARGV[a + 2]
  -- Field 5 of herald.wire.v1.StoredNotice, a fixed64.
  if ARGV[a + 4] ~= '0' then stored = stored .. struct.pack('<BI8', 41, now + tonumber(ARGV[a + 4])) end
  if not s then
    s = new_state(ARGV[a + 1])
    redis.call('DEL', inbox)
  end
  local max_n = s.n >= most_kept + slack and most_kept - 1 or math.huge
  local trimmed = trim(inbox, s, now - age, max_n, tonumber(ARGV[3]) - #stored)

  -- At the clock's time, or right after the last one if the clock stands or went back.
  local previous, previous_random, last_ms, last_seq = s.l, s.r, parts(s.l)
  local position
  if now > last_ms then
    position = string.format('%d-0', now)
  else
    position = string.format('%d-%d', last_ms, last_seq + 1)
  end

  redis.call('XADD', inbox, position, 'n', stored, 'r', random)
  local was_empty, since = s.n == 0, now - s.u
  if was_empty then s.o = position end
  s.l, s.r, s.n, s.b = position, random, s.n + 1, s.b + #stored
  if was_empty or since < 0 or since >= long_enough then
    redis.call('PEXPIRE', inbox, ARGV[6])
    s.u = now
    save_state(state, s, ARGV[5])
  elseif trimmed then
    redis.call('HSET', state, 'l', position, 'r', random, 'n', s.n, 'b', s.b, 'f', s.f, 'o', s.o)
  else
    redis.call('HSET', state, 'l', position, 'r', random, 'n', s.n, 'b', s.b)
  end
  if key ~= '' then
    keep_key(KEYS[k + 3], s.e, key, now, key_life, most_kept, position, random, ARGV[a + 8])
  end

  local message = place(position, random, previous, previous_random) .. ARGV[a + 5]
  if ARGV[a + 6] ~= '' then message = message .. ARGV[a + 6] .. stored else message = message .. IN_INBOX end
  return letter(k, a, 't', position, random, s.e, 0, sessions, message)
end

local answers, letters, alike, k = {}, {}, true, 1
for a = COMMON + 1, #ARGV, EACH do
  local worked, outcome = pcall(accept, k, a)
  -- What Redis raises is the text alone before Redis 7.
  local refusal = type(outcome) == 'table' and outcome.err or not worked and tostring(outcome)
  if refusal then
    answers[#answers + 1] = { refusal }
    alike = alike and answers[1][1] == refusal
  else
    letters[#letters + 1] = outcome
    answers[#answers + 1] = outcome
  end
  k = k + (ARGV[a + 9] == '1' and 5 or 4)
end
if #letters == 0 and alike then return redis.error_reply(answers[1][1]) end

tell_all(letters, channels)
for i, letter in ipairs(answers) do
  if letter.told then
    answers[i] = packed(letter)
    if ARGV[letter.a + 9] == '1' then
      local notice = letter.position .. '-' .. letter.random
      keep_targets(KEYS[letter.k + 4], letter.kind, notice, letter.sessions, letter.told, now, age, ARGV[9])
    end
  end
end
return answers
