-- Remove a session.
--
-- KEYS  1 the session, a hash
-- ARGV  1 incarnation, '' for any    2 epoch of the writer, -1 where he does not know
-- Reply 'left 0', or '<why> <version> <epoch> <operation>': absent, foreign, format, other, fenced.
-- Fields of the hash: see append.lua.

local key = KEYS[1]
local m = redis.call('HMGET', key, 'f', 'v', 'e', 'o', 'i')
if m[1] ~= '1' then
  if m[1] then return 'format 0 0 ' .. m[1] end
  return redis.call('EXISTS', key) == 1 and 'foreign 0 0 ' or 'absent 0 0 '
end
local function refused(why) return why .. ' ' .. m[2] .. ' ' .. m[3] .. ' ' .. m[4] end

if ARGV[1] ~= '' and ARGV[1] ~= m[5] then return refused('other') end
local epoch = tonumber(ARGV[2])
if epoch >= 0 and epoch < tonumber(m[3]) then return refused('fenced') end
redis.call('UNLINK', key)
return 'left 0'
