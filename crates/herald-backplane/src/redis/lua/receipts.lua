-- Put before dispatch.lua: what is kept of the way of a user's notices, for those who wanted
-- acknowledgements.
--
--   receipts  stream  n notice id, and one of
--                     t its targets: of each the 32 digits of its session id and the 16 of its gateway id
--                     r what a gateway reported (herald.wire.v1.Report), added by that gateway

-- The notice is accepted whether this can be kept or not.
local function keep_targets(key, notice, sessions, oldest_ms, life_ms, max_n)
  local targets = {}
  for i = 1, #sessions, 2 do
    targets[#targets + 1] = sessions[i] .. string.sub(sessions[i + 1], 1, 16)
  end
  redis.pcall('XADD', key, 'MAXLEN', '~', max_n, '*', 'n', notice, 't', table.concat(targets))
  redis.pcall('XTRIM', key, 'MINID', '~', string.format('%.0f', oldest_ms))
  redis.pcall('PEXPIRE', key, life_ms)
end
