-- Removes everything that is kept of a user, but for the marks that keep ended sessions out.
--
-- KEYS  1 state · 2 inbox · 3 sessions · 4 idempotency keys · 5 receipts
-- ARGV  1 deadline, ms of Redis' clock

local refused = late(now_ms(), ARGV[1])
if refused then return refused end

redis.call('DEL', KEYS[2], KEYS[4], KEYS[5])
redis.call('HDEL', KEYS[1], 'e', 'l', 'r', 'f', 'n', 'b', 'o', 'u')
return 1
