-- Put before dispatch.lua: what is kept of the way of a user's notices, for those who wanted
-- acknowledgements.
--
--   receipts  stream  n notice id, and one of
--                     t its targets, when it was accepted
--                     d those of a retry
--                     u gateways that turned out not to listen, of a t or d: its time, then 16 digits
--                       of each; added by the notifier where it publishes
--                     r what a gateway reported (herald.wire.v1.Report), added by that gateway
--
-- Targets are the time in ms and a space, then of each 32 digits of its session id, whether its gateway
-- listened (1, 0, or ? where that is found out later), 4 hexadecimal digits of a length, and as many
-- bytes: its entry in sessions, but for what tells of its client's machine.

-- Of herald.wire.v1.StoredSession: socket_id and user_agent.
local LEFT_OUT = { [26] = true, [50] = true }

-- A number written with 7 bits to a byte, and where what follows it begins.
local function varint(text, at)
  local number, factor, byte = 0, 1, string.byte(text, at) or 0
  while byte >= 128 do
    number, factor, at = number + (byte - 128) * factor, factor * 128, at + 1
    byte = string.byte(text, at) or 0
  end
  return number + byte * factor, at + 1
end

-- An entry of sessions without what is left out. One of its few fields is, mostly: so what is kept is
-- cut in pieces as large as can be.
local function told_of(session)
  local kept, from, at = '', 1, 17
  while at <= #session do
    local field, tag, size = at, nil, nil
    tag, at = varint(session, at)
    size, at = varint(session, at)
    -- Length-delimited, or a number that is read by now; the registry writes no other kind.
    if tag % 8 == 2 then at = at + size end
    if LEFT_OUT[tag] then
      kept = kept .. string.sub(session, from, field - 1)
      from = at
    end
  end
  return kept .. string.sub(session, from)
end

-- The notice is accepted whether this can be kept or not. `told` is what tell.lua gave.
local function keep_targets(key, kind, notice, sessions, told, now, life_ms, max_n)
  local listens = {}
  for i = 1, #told[2], 2 do
    listens[told[2][i]] = told[1] ~= '' and '?' or (told[2][i + 1] > 0 and '1' or '0')
  end
  local targets = { string.format('%d ', now) }
  for i = 1, #sessions, 2 do
    local session = told_of(sessions[i + 1])
    targets[#targets + 1] = sessions[i] .. (listens[string.sub(session, 1, 16)] or '?')
      .. string.format('%04x', #session) .. session
  end
  redis.pcall('XADD', key, 'MAXLEN', '~', max_n, '*', 'n', notice, kind, table.concat(targets))
  redis.pcall('XTRIM', key, 'MINID', '~', string.format('%d', now - life_ms))
  redis.pcall('PEXPIRE', key, life_ms)
end
