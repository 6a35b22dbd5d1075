-- Put before dispatch.lua and read.lua: what both know of an inbox.
--
-- A user's keys, all under one hash tag:
--   state     hash    e epoch · l last position · r its random part · f floor (highest position
--                     removed by any limit) · n notices kept · b bytes kept · o oldest position kept
--                     · u when the lives of state and inbox were last prolonged by an append, ms;
--                     without e there is no inbox, only what end.lua has left
--   inbox     stream  id = position; n stored notice, r random part
--   sessions  hash    session id -> 16 digits of the gateway id, then the stored session

local ZERO, NO_RANDOM, NO_EPOCH = '0-0', '00000000', '0000000000000000'

local function parts(position)
  local ms, seq = string.match(position, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function ms_of(position) return tonumber(string.match(position, '^%d+')) end

-- Whether position a lies after position b.
local function after(a, b)
  if a == b then return false end
  local a_ms, a_seq = parts(a)
  local b_ms, b_seq = parts(b)
  return a_ms > b_ms or (a_ms == b_ms and a_seq > b_seq)
end

-- nil for a user without a state record.
local function load_state(key)
  local v = redis.call('HMGET', key, 'e', 'l', 'r', 'f', 'n', 'b', 'o', 'u')
  if not v[1] then return nil end
  return { e = v[1], l = v[2], r = v[3], f = v[4], n = tonumber(v[5]), b = tonumber(v[6]), o = v[7],
    u = tonumber(v[8] or 0) }
end

local function new_state(epoch)
  return { e = epoch, l = ZERO, r = NO_RANDOM, f = ZERO, n = 0, b = 0, o = ZERO, u = 0 }
end

local function save_state(key, s, life_ms)
  redis.call('HSET', key, 'e', s.e, 'l', s.l, 'r', s.r, 'f', s.f, 'n', s.n, 'b', s.b, 'o', s.o, 'u', s.u)
  redis.call('PEXPIRE', key, life_ms)
end

-- Removes the oldest notices until at most max_n of max_b bytes are kept and none is older than
-- oldest_ms; moves the floor accordingly. Returns whether the state changed.
local function trim(key, s, oldest_ms, max_n, max_b)
  if s.n == 0 then return false end
  if s.n <= max_n and s.b <= max_b and ms_of(s.o) >= oldest_ms then return false end
  -- Those that are too many, or mostly one, and the next one, which is the oldest from then on.
  local from, keep, count = '-', nil, math.min(math.max(s.n - max_n, 1), 64) + 1
  repeat
    local entries = redis.call('XRANGE', key, from, '+', 'COUNT', count)
    count = 16
    if #entries == 0 then
      -- Nothing stands where something should: it expired as a whole, or somebody removed it.
      s.n, s.b, s.f = 0, 0, s.l
    end
    for _, entry in ipairs(entries) do
      if s.n <= max_n and s.b <= max_b and ms_of(entry[1]) >= oldest_ms then
        keep = entry[1]
        break
      end
      s.n, s.b, s.f = s.n - 1, s.b - #entry[2][2], entry[1]
      from = '(' .. entry[1]
    end
  until keep or s.n <= 0
  if keep then
    s.o = keep
    redis.call('XTRIM', key, 'MINID', keep)
  else
    s.n, s.b, s.o = 0, 0, ZERO
    redis.call('XTRIM', key, 'MAXLEN', 0)
  end
  return true
end
