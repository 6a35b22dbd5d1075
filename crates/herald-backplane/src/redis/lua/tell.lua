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

-- Publishes several letters, each with its `gateways` and its `message`, in their order: a gateway
-- gets all of its own at once. Gives each what tell() would, as `told`.
local function tell_all(letters, channels)
  if #letters == 1 then
    letters[1].told = tell(letters[1].gateways, channels, letters[1].message)
    return
  end
  local posts, listeners = {}, {}
  for _, letter in ipairs(letters) do
    for _, gateway in ipairs(letter.gateways) do
      local post = posts[gateway]
      if post then post[#post + 1] = letter.message else posts[gateway] = { letter.message } end
    end
  end
  for gateway, post in pairs(posts) do
    listeners[gateway] = redis.call('PUBLISH', channels .. gateway, bundle(post))
  end
  for _, letter in ipairs(letters) do
    local told = {}
    for _, gateway in ipairs(letter.gateways) do
      told[#told + 1] = gateway
      told[#told + 1] = listeners[gateway]
    end
    letter.told = { '', told }
  end
end
