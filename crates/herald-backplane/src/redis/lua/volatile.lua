-- Looks up a user's sessions and sends a volatile notice to the gateways that own one.
--
-- KEYS  1 sessions
-- ARGV  1 deadline, ms of Redis' clock · 2 message without its time · 3 prefix of gateway channels
-- gives { now, { session id, session, … }, told by tell.lua }

local now = now_ms()
local refused = late(now, ARGV[1])
if refused then return refused end

local sessions = redis.call('HGETALL', KEYS[1])
return { now, sessions, tell(owners(sessions), ARGV[3], sent_at(ARGV[2], now)) }
