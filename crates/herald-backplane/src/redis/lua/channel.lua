-- Put before the scripts that publish: how herald.wire.v1.ChannelMessage is completed, and who is told.

-- Field 7, an empty message.
local IN_INBOX = string.char(58, 0)

-- A whole number in little-endian order; exact up to 2^53.
local function fixed(number, size)
  local bytes = {}
  for i = 1, size do
    bytes[i] = string.char(number % 256)
    number = math.floor(number / 256)
  end
  return table.concat(bytes)
end

-- Fields 1 to 3 and 12: two length-delimited, each shorter than 128 bytes, and two fixed32.
local function place(position, random, previous, previous_random)
  return string.char(10, #position) .. position .. string.char(18, #previous) .. previous
    .. string.char(29) .. fixed(tonumber(random, 16), 4)
    .. string.char(101) .. fixed(tonumber(previous_random, 16), 4)
end

-- Field 10 of a message, a fixed64.
local function sent_at(message, now)
  return message .. string.char(81) .. fixed(now, 8)
end

-- The gateways that own one of the sessions (as HGETALL gives them), each once.
local function owners(sessions)
  local known, gateways = {}, {}
  for i = 2, #sessions, 2 do
    local gateway = string.sub(sessions[i], 1, 16)
    if not known[gateway] then
      known[gateway] = true
      gateways[#gateways + 1] = gateway
    end
  end
  return gateways
end
