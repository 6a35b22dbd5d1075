-- Put before the lease scripts.
--
-- The leases of all gateways are one hash: gateway id -> 'state expires claimed name'
--   state    held, or fenced: its holder is refused from now on, and its sessions go
--   expires  ms of Redis' clock; a held lease beyond it has lapsed
--   claimed  until when one reaper has it, ms

local function parse(text)
  local state, expires, claimed, name = string.match(text, '^(%a+) (%d+) (%d+) (.*)$')
  return { state = state, expires = tonumber(expires), claimed = tonumber(claimed), name = name }
end

local function save(key, gateway, lease)
  redis.call('HSET', key, gateway,
    string.format('%s %.0f %.0f ', lease.state, lease.expires, lease.claimed) .. lease.name)
end
