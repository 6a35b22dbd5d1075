-- Appends a notice to a user's inbox, looks up the user's sessions and tells the gateways that own
-- one: a single step, so that a session either is among those told or finds the notice.
--
-- KEYS  1 state · 2 inbox · 3 sessions · 4 idempotency keys · 5 receipts, if they are to be kept
-- ARGV  1 deadline, ms of Redis' clock · 2 epoch for a new state · 3 random part · 4 stored notice
--       5 how long it is good, ms, or 0 for always · 6 announcement without place and notice
--       7 what stands before the stored notice in it, or '' if it is too large
--       8 prefix of gateway channels · 9 notices kept, and idempotency keys · 10 bytes kept
--       11 age kept, ms · 12 life of the state, s · 13 idempotency key with its caller, or ''
--       14 digest of what it stands for · 15 life of a key, ms · 16 receipts kept, if they are
-- gives { now, position, random part, epoch, 1 if it is a duplicate, { session id, session, … },
--         told by tell.lua }

local now = now_ms()
local refused = late(now, ARGV[1])
if refused then return refused end

local s = load_state(KEYS[1])
local sessions = redis.call('HGETALL', KEYS[3])
local keyed = ARGV[13] ~= ''

-- Tells the owners, and keeps whom, if that is wanted.
local function announce(kind, position, random, message)
  local told = tell(owners(sessions), ARGV[8], message)
  if KEYS[5] then
    local notice = position .. '-' .. random
    keep_targets(KEYS[5], kind, notice, sessions, told, now, tonumber(ARGV[11]), ARGV[16])
  end
  return told
end

-- A key that was used: nothing is appended. Whoever lacks that notice finds that the position before
-- it is not the one they stand at, and reads.
local used = keyed and find_key(KEYS[4], s and s.e or '', ARGV[13], now - tonumber(ARGV[15]))
if used then
  if used.digest ~= ARGV[14] then
    return redis.error_reply('HERALDKEYUSED the idempotency key was used for another notice')
  end
  -- A use of the inbox; and a write, so that who waits for replicas waits for this notice again.
  redis.call('EXPIRE', KEYS[1], ARGV[12])
  local message = place(used.position, used.random, used.position, used.random) .. ARGV[6] .. IN_INBOX
  local told = announce('d', used.position, used.random, message)
  return { now, used.position, used.random, s.e, 1, sessions, told }
end

local stored = ARGV[4]
-- Field 5 of herald.wire.v1.StoredNotice, a fixed64.
if ARGV[5] ~= '0' then stored = stored .. string.char(41) .. fixed(now + tonumber(ARGV[5]), 8) end
if not s then
  s = new_state(ARGV[2])
  redis.call('DEL', KEYS[2])
end
trim(KEYS[2], s, now - tonumber(ARGV[11]), tonumber(ARGV[9]) - 1, tonumber(ARGV[10]) - #stored)

-- At the clock's time, or right after the last one if the clock stands or went back.
local previous, previous_random, last_ms, last_seq = s.l, s.r, parts(s.l)
local position
if now > last_ms then
  position = string.format('%.0f-0', now)
else
  position = string.format('%.0f-%.0f', last_ms, last_seq + 1)
end

redis.call('XADD', KEYS[2], position, 'n', stored, 'r', ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[11])
if s.n == 0 then s.o = position end
s.l, s.r, s.n, s.b = position, ARGV[3], s.n + 1, s.b + #stored
save_state(KEYS[1], s, ARGV[12])
if keyed then
  keep_key(KEYS[4], s.e, ARGV[13], now, tonumber(ARGV[15]), tonumber(ARGV[9]), position, ARGV[3], ARGV[14])
end

local message = place(position, ARGV[3], previous, previous_random) .. ARGV[6]
if ARGV[7] ~= '' then message = message .. ARGV[7] .. stored else message = message .. IN_INBOX end
return { now, position, ARGV[3], s.e, 0, sessions, announce('t', position, ARGV[3], message) }
