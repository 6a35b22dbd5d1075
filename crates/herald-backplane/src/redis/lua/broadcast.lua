-- Sends a volatile notice to every gateway whose lease is good.
--
-- KEYS  1 leases
-- ARGV  1 deadline, ms of Redis' clock · 2 message without its time · 3 prefix of gateway channels
-- gives what tell.lua does

local now = now_ms()
local refused = late(now, ARGV[1])
if refused then return refused end

local gateways, all = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local lease = parse(all[i + 1])
  if lease.state == 'held' and lease.expires > now then gateways[#gateways + 1] = all[i] end
end
return tell(gateways, ARGV[3], sent_at(ARGV[2], now))
