-- Looks for one notice in a user's inbox. Removes what is too old, as every reading does.
--
-- KEYS  1 state · 2 inbox
-- ARGV  1 deadline, ms of Redis' clock · 2 position · 3 random part · 4 age kept, ms
--       5 life of the state, ms
-- gives { now, mark or 0, epoch, tip, tip's random, floor, notices kept, bytes kept, notice or '' },
--         only the first two for a user who has no inbox

local now = now_ms()
local refused = late(now, ARGV[1])
if refused then return refused end

local mark = redis.call('HGET', KEYS[1], 'm') or '0'
local s = load_state(KEYS[1])
if not s then return { now, mark } end
if trim(KEYS[2], s, now - tonumber(ARGV[4]), math.huge, math.huge) then save_state(KEYS[1], s, ARGV[5]) end

local entry = redis.call('XRANGE', KEYS[2], ARGV[2], ARGV[2])[1]
local found = entry and entry[2][4] == ARGV[3] and entry[2][2] or ''
return { now, mark, s.e, s.l, s.r, s.f, s.n, s.b, found }
