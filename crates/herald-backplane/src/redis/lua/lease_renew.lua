-- Renews a lease, also one that lapsed without anybody having fenced it: its sessions are still there.
--
-- KEYS  1 leases
-- ARGV  1 deadline · 2 gateway id · 3 lease, ms
-- gives 1, or 0 if the lease is no longer the caller's

local now = now_ms()
local refused = late(now, ARGV[1])
if refused then return refused end

local held = redis.call('HGET', KEYS[1], ARGV[2])
if not held then return 0 end
local lease = parse(held)
if lease.state ~= 'held' then return 0 end
lease.expires, lease.claimed = now + tonumber(ARGV[3]), 0
save(KEYS[1], ARGV[2], lease)
return 1
