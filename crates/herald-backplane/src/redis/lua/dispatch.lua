-- Appends a notice to a user's inbox, looks up the user's sessions and tells the gateways that own
-- one: a single step, so that a session either is among those told or finds the notice.
--
-- KEYS  1 state · 2 inbox · 3 sessions
-- ARGV  1 deadline, ms of Redis' clock · 2 epoch for a new state · 3 random part · 4 stored notice
--       5 announcement without positions · 6 '1' if the stored notice goes with it
--       7 prefix of gateway channels · 8 notices kept · 9 bytes kept · 10 age kept, ms
--       11 life of the state, s
-- gives { position, epoch, { session id, session, … }, { gateway id, listeners, … } }

local now = now_ms()
local refused = late(now, ARGV[1])
if refused then return refused end

local stored = ARGV[4]
local s = load_state(KEYS[1])
local sessions = redis.call('HGETALL', KEYS[3])
if not s then
  s = new_state(ARGV[2])
  redis.call('DEL', KEYS[2])
end
trim(KEYS[2], s, now - tonumber(ARGV[10]), tonumber(ARGV[8]) - 1, tonumber(ARGV[9]) - #stored)

-- At the clock's time, or right after the last one if the clock stands or went back.
local previous, last_ms, last_seq = s.l, parts(s.l)
local position
if now > last_ms then
  position = string.format('%.0f-0', now)
else
  position = string.format('%.0f-%.0f', last_ms, last_seq + 1)
end

redis.call('XADD', KEYS[2], position, 'n', stored, 'r', ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[10])
if s.n == 0 then s.o = position end
s.l, s.r, s.n, s.b = position, ARGV[3], s.n + 1, s.b + #stored
save_state(KEYS[1], s, ARGV[11])

-- Fields 1 and 2 of herald.wire.v1.ChannelMessage: length-delimited, each shorter than 128 bytes.
local message = string.char(10, #position) .. position .. string.char(18, #previous) .. previous .. ARGV[5]
if ARGV[6] == '1' then message = message .. stored end
local told, listeners = {}, {}
for i = 2, #sessions, 2 do
  local gateway = string.sub(sessions[i], 1, 16)
  if not told[gateway] then
    told[gateway] = true
    listeners[#listeners + 1] = gateway
    listeners[#listeners + 1] = redis.call('PUBLISH', ARGV[7] .. gateway, message)
  end
end
return { position, s.e, sessions, listeners }
