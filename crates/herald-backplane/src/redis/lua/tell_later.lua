-- Put in the place of tell.lua where the channels are in other slots: the caller publishes.

-- Returns { message, { gateway id, 0, … } }, without the message if there is nobody to tell.
local function tell(gateways, _, message)
  if #gateways == 0 then return { '', {} } end
  local listeners = {}
  for _, gateway in ipairs(gateways) do
    listeners[#listeners + 1] = gateway
    listeners[#listeners + 1] = 0
  end
  return { message, listeners }
end

-- The same for several letters, each with its `gateways` and its `message`, as `told`.
local function tell_all(letters, channels)
  for _, letter in ipairs(letters) do letter.told = tell(letter.gateways, channels, letter.message) end
end
