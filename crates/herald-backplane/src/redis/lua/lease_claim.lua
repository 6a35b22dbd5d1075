-- Fences lapsed leases and claims those that no other reaper has, for a while.
--
-- KEYS  1 leases
-- ARGV  1 deadline · 2 claim, ms · 3 most to claim · 4 a gateway id to fence and claim whatever its state, or ''
-- gives { gateway id, … }

local now = now_ms()
local refused = late(now, ARGV[1])
if refused then return refused end

local all, claimed = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local gateway, lease = all[i], parse(all[i + 1])
  local gone = lease.claimed <= now and (lease.state == 'fenced' or lease.expires <= now)
  if (gateway == ARGV[4] or (ARGV[4] == '' and gone)) and #claimed < tonumber(ARGV[3]) then
    lease.state, lease.claimed = 'fenced', now + tonumber(ARGV[2])
    save(KEYS[1], gateway, lease)
    claimed[#claimed + 1] = gateway
  end
end
return claimed
