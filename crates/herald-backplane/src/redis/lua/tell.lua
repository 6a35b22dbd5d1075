-- Put before the scripts that publish, after channel.lua, where any channel may be published to.

-- Publishes to each gateway. Returns { '', { gateway id, listeners, … } }.
local function tell(gateways, channels, message)
  local listeners = {}
  for _, gateway in ipairs(gateways) do
    listeners[#listeners + 1] = gateway
    listeners[#listeners + 1] = redis.call('PUBLISH', channels .. gateway, message)
  end
  return { '', listeners }
end
