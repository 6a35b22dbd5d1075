-- Put before dispatch.lua: the idempotency keys that were used for a user.
--
--   keys  hash  k<caller, key> -> 'number accepted position random digest'
--               i<number>      -> k<caller, key>, the keys in the order of their use
--               f · t          the first number that is kept · the last
--               e              epoch of the inbox that they are of

-- Keys that one use of a new one removes at most: more than one, so that they become fewer.
local REMOVED_AT_ONCE = 8

-- What is kept of a key; nil if it is not, or no longer, known.
local function find_key(hash, epoch, field, oldest_ms)
  local found = redis.call('HMGET', hash, 'e', 'k' .. field)
  if found[1] ~= epoch or not found[2] then return nil end
  local number, accepted, position, random, digest =
    string.match(found[2], '^(%d+) (%d+) (%S+) (%S+) (%S+)$')
  if tonumber(accepted) <= oldest_ms then return nil end
  return { number = number, position = position, random = random, digest = digest }
end

-- Keeps a key, at most max_n of them, and removes those that lapsed.
local function keep_key(hash, epoch, field, now, life_ms, max_n, position, random, digest)
  local known = redis.call('HMGET', hash, 'e', 'f', 't')
  if known[1] ~= epoch then
    redis.call('DEL', hash)
    known = { epoch, '1', '0' }
  end
  local first, last = tonumber(known[2]), tonumber(known[3]) + 1
  for _ = 1, REMOVED_AT_ONCE do
    if first >= last then break end
    local index = string.format('i%d', first)
    local oldest = redis.call('HGET', hash, index)
    local kept = oldest and redis.call('HGET', hash, oldest)
    local number, accepted = string.match(kept or '', '^(%d+) (%d+) ')
    -- Used anew after it had lapsed: it has another number now.
    local is_its = number and tonumber(number) == first
    if is_its and last - first < max_n and tonumber(accepted) > now - life_ms then break end
    redis.call('HDEL', hash, index, is_its and oldest or index)
    first = first + 1
  end
  redis.call('HSET', hash, 'e', epoch, 'f', string.format('%d', first), 't', string.format('%d', last),
    string.format('i%d', last), 'k' .. field,
    'k' .. field, string.format('%d %d ', last, now) .. position .. ' ' .. random .. ' ' .. digest)
  redis.call('PEXPIRE', hash, life_ms)
end
