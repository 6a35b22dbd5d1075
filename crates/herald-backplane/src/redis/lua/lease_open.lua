-- Takes a lease for a gateway name. What the name left behind is fenced if it lapsed or is known to
-- listen no more, and claimed for the caller to reap.
--
-- KEYS  1 leases
-- ARGV  1 deadline · 2 gateway id · 3 name · 4 lease, ms · 5 a gateway id that nobody listens for, or ''
--       6 claim, ms
-- gives { 'held', fenced gateway id, … } or { 'taken', its holder, what is left of its lease in ms }

local now = now_ms()
local refused = late(now, ARGV[1])
if refused then return refused end

local all, fenced = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local gateway, lease = all[i], parse(all[i + 1])
  if lease.name == ARGV[3] and lease.state == 'held' then
    if lease.expires > now and gateway ~= ARGV[5] then
      return { 'taken', gateway, lease.expires - now }
    end
    fenced[#fenced + 1] = gateway
  end
end
for _, gateway in ipairs(fenced) do
  save(KEYS[1], gateway, { state = 'fenced', expires = now, claimed = now + tonumber(ARGV[6]), name = ARGV[3] })
end
save(KEYS[1], ARGV[2], { state = 'held', expires = now + tonumber(ARGV[4]), claimed = 0, name = ARGV[3] })
return { 'held', unpack(fenced) }
