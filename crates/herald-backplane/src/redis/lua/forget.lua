-- Removes sessions of one lease from a user's registry; those of another lease stay.
--
-- KEYS  1 sessions
-- ARGV  1 gateway id · 2… session ids
-- gives how many were removed

local removed = 0
for i = 2, #ARGV do
  local session = redis.call('HGET', KEYS[1], ARGV[i])
  if session and string.sub(session, 1, 16) == ARGV[1] then
    removed = removed + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return removed
