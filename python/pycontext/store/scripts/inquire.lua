-- Ask how a session stands.
--
-- KEYS  1 the session, a hash
-- Reply a list: version, epoch, incarnation, snapshot version, bytes of the snapshot, ms since the last write, ms to live
--       (-1 for ever), bytes of memory (-1 where that may not be asked), changes to trim; or '<why> 0 0 <format>': absent,
--       foreign, format.
-- Fields of the hash: see append.lua.

local key = KEYS[1]
local m = redis.call('HMGET', key, 'f', 'v', 'e', 'i', 's', 't', 'l', 'g')
if m[1] ~= '1' then
  if m[1] then return 'format 0 0 ' .. m[1] end
  return redis.call('EXISTS', key) == 1 and 'foreign 0 0 ' or 'absent 0 0 '
end
local clock = redis.call('TIME')
local age = math.max(0, clock[1] * 1000 + math.floor(clock[2] / 1000) - tonumber(m[6]))
local memory = redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', '0')
if type(memory) ~= 'number' then memory = -1 end
return {m[2], m[3], m[4], m[5], redis.call('HSTRLEN', key, 'S'), string.format('%.0f', age),
  redis.call('PTTL', key), memory, string.format('%.0f', math.max(0, tonumber(m[8]) - tonumber(m[7]) + 1))}
