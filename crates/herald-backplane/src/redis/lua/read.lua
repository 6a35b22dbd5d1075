-- Reads one page of a user's inbox from a cursor and, if a session is given, registers it in the
-- same step, so that every later notice is announced to its gateway.
--
-- KEYS  1 state · 2 inbox · 3 sessions
-- ARGV  1 deadline, ms of Redis' clock · 2 'start' or 'after' · 3 to 5 the cursor: epoch, position,
--       random part · 6 notices in a page · 7 bytes in a page · 8 age kept, ms · 9 life of the state, ms
--       10 epoch for a new state · 11 session id or '' · 12 session · 13 the mark it was let in at
-- gives { now, epoch, tip, tip's random, floor, gap or '', start, start's random, more,
--         { position, random, stored notice, … } }, or { now } for a user without state

local now = now_ms()
local refused = late(now, ARGV[1])
if refused then return refused end

local registers = ARGV[11] ~= ''
if registers then
  -- What end.lua has left.
  local left = redis.call('HMGET', KEYS[1], 'm', 'x' .. ARGV[11])
  if left[2] or (left[1] and tonumber(left[1]) > tonumber(ARGV[13])) then
    return redis.error_reply('HERALDENDED the session was ended')
  end
end
local s = load_state(KEYS[1])
local changed = false
if not s then
  if not registers then return { now } end
  s = new_state(ARGV[10])
  changed = true
  redis.call('DEL', KEYS[2])
end
if trim(KEYS[2], s, now - tonumber(ARGV[8]), math.huge, math.huge) then changed = true end

-- Where the page starts. The rules of `Since` in port.rs.
local function start_of_page()
  if ARGV[2] == 'start' then return '', s.f, NO_RANDOM end
  local epoch, position, random = ARGV[3], ARGV[4], ARGV[5]
  local before_everything = position == ZERO and epoch == NO_EPOCH
  if epoch ~= s.e and not before_everything then return 'reset', s.f, NO_RANDOM end
  if after(position, s.l) then return 'reset', s.f, NO_RANDOM end
  if position == s.l and random ~= s.r and not (position == s.f and random == NO_RANDOM) then
    return 'reset', s.f, NO_RANDOM
  end
  if after(s.f, position) then return 'expired', s.f, NO_RANDOM end
  if position ~= s.f and position ~= s.l then
    local entry = redis.call('XRANGE', KEYS[2], position, position)[1]
    if not entry or entry[2][4] ~= random then return 'reset', s.f, NO_RANDOM end
  end
  return '', position, random
end
local gap, start, start_random = start_of_page()

local page, more = {}, 0
if after(s.l, start) then
  local max_n, max_b, bytes = tonumber(ARGV[6]), tonumber(ARGV[7]), 0
  local entries = redis.call('XRANGE', KEYS[2], '(' .. start, '+', 'COUNT', max_n + 1)
  for i, entry in ipairs(entries) do
    bytes = bytes + #entry[2][2]
    if i > max_n or (i > 1 and bytes > max_b) then
      more = 1
      break
    end
    page[#page + 1] = entry[1]
    page[#page + 1] = entry[2][4]
    page[#page + 1] = entry[2][2]
  end
end

if registers then
  redis.call('HSET', KEYS[3], ARGV[11], ARGV[12])
  changed = true
end
if changed then save_state(KEYS[1], s, ARGV[9]) end
return { now, s.e, s.l, s.r, s.f, gap, start, start_random, more, page }
