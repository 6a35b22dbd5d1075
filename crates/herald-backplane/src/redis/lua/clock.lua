-- Put before every script that heeds time.

-- Redis' clock is the only clock.
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- A caller that gave up must not find later that its call was carried out.
local function late(now, deadline)
  if now > tonumber(deadline) then
    return redis.error_reply('HERALDLATE the deadline passed before anything was written')
  end
end
