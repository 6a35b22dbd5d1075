-- Ends sessions of a user for good: leaves a mark that keeps them from being registered, and tells
-- the gateways that own one.
--
-- KEYS  1 state · 2 sessions
-- ARGV  1 deadline, ms of Redis' clock · 2 life of the mark, ms · 3 'all', or '' for those named
--       4 '1' if tokens issued before now are to be refused · 5 message without its time
--       6 prefix of gateway channels · 7 sessions marked one by one, at most · 8… session ids
-- gives { mark, { session id, session, … }, { gateway id, listeners, … } }
--
-- In the state, beside what inbox.lua has there:
--   m  the mark · t  tokens issued before it are refused · x<session id>  a mark of that session

local now = now_ms()
local refused = late(now, ARGV[1])
if refused then return refused end

-- Grows also if the clock stands; later than all marks of single sessions too, so that it is known
-- which of these are the oldest.
local mark = math.max(now, tonumber(redis.call('HGET', KEYS[1], 'm') or 0) + 1)
local sessions = redis.call('HGETALL', KEYS[2])
local targets = sessions
if ARGV[3] == 'all' then
  redis.call('HSET', KEYS[1], 'm', string.format('%.0f', mark))
else
  local named, marked, state = {}, {}, redis.call('HGETALL', KEYS[1])
  for i = 8, #ARGV do named['x' .. ARGV[i]] = true end
  for i = 1, #state, 2 do
    if string.sub(state[i], 1, 1) == 'x' then
      local at = tonumber(state[i + 1])
      mark = math.max(mark, at + 1)
      if not named[state[i]] then marked[#marked + 1] = { state[i], at } end
    end
  end
  table.sort(marked, function(a, b) return a[2] < b[2] end)
  local room = tonumber(ARGV[7]) - (#ARGV - 7)
  for i = 1, math.min(#marked, #marked - room) do redis.call('HDEL', KEYS[1], marked[i][1]) end
  for field in pairs(named) do redis.call('HSET', KEYS[1], field, string.format('%.0f', mark)) end
  targets = {}
  for i = 1, #sessions, 2 do
    if named['x' .. sessions[i]] then
      targets[#targets + 1] = sessions[i]
      targets[#targets + 1] = sessions[i + 1]
    end
  end
end
if ARGV[4] == '1' then redis.call('HSET', KEYS[1], 't', string.format('%.0f', now)) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { mark, targets, tell(owners(targets), ARGV[6], sent_at(ARGV[5], mark)) }
