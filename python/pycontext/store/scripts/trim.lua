-- Remove changes that a snapshot made needless, at most 500, so that nobody waits for long.
--
-- KEYS  1 the session, a hash
-- Reply 'left <changes that are still to go>'.
-- Fields of the hash: see append.lua.

local key = KEYS[1]
local m = redis.call('HMGET', key, 'f', 'l', 'g')
if m[1] ~= '1' then return 'left 0' end
local first, last = tonumber(m[2]), tonumber(m[3])
if first > last then return 'left 0' end
local stop, gone = math.min(last, first + 499), {}
for version = first, stop do gone[#gone + 1] = string.format('d%.0f', version) end
redis.call('HDEL', key, unpack(gone))
redis.call('HSET', key, 'l', string.format('%.0f', stop + 1))
return 'left ' .. string.format('%.0f', last - stop)
