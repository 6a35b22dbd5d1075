-- Put before the scripts that publish: how herald.wire.v1.ChannelMessage is completed, and who is told.

-- Field 7, an empty message.
local IN_INBOX = string.char(58, 0)

-- Fields 1 to 3 and 12: two length-delimited, each shorter than 128 bytes, and two fixed32.
local function place(position, random, previous, previous_random)
  return struct.pack('<BBc0BBc0BI4BI4', 10, #position, position, 18, #previous, previous,
    29, tonumber(random, 16), 101, tonumber(previous_random, 16))
end

-- Field 10 of a message, a fixed64; exact up to 2^53.
local function sent_at(message, now)
  return message .. struct.pack('<BI8', 81, now)
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

-- How protobuf writes a length: 7 bits to a byte.
local function length(number)
  local bytes = ''
  while number > 127 do
    bytes = bytes .. string.char(number % 128 + 128)
    number = math.floor(number / 128)
  end
  return bytes .. string.char(number)
end

-- Several messages as one: version 5 in field 4, and each of them in field 15.
local function bundle(messages)
  if #messages == 1 then return messages[1] end
  local parts = { string.char(32, 5) }
  for _, message in ipairs(messages) do
    parts[#parts + 1] = string.char(122) .. length(#message)
    parts[#parts + 1] = message
  end
  return table.concat(parts)
end
