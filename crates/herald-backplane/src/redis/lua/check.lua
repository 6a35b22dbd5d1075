-- Runs every command that the scripts run, so that a permission that is missing is missed at start.
--
-- KEYS  1 a hash · 2 a stream, both of nobody else, and removed again

redis.call('TIME')
redis.call('HSET', KEYS[1], 'a', '1')
redis.call('HGET', KEYS[1], 'a')
redis.call('HMGET', KEYS[1], 'a')
redis.call('HGETALL', KEYS[1])
redis.call('EXPIRE', KEYS[1], 60)
redis.call('XADD', KEYS[2], '*', 'a', '1')
redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
redis.call('PEXPIRE', KEYS[2], 60000)
redis.call('XTRIM', KEYS[2], 'MAXLEN', 0)
redis.call('HDEL', KEYS[1], 'a')
redis.call('DEL', KEYS[2])
return 1
