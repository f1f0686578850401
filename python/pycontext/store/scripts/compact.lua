-- Put a snapshot in the place of the changes up to its version; the session stays as it is.
--
-- KEYS  1 the session, a hash
-- ARGV  1 incarnation    2 version of the snapshot    3 the operation that made that version    4 the snapshot
-- Reply 'left <changes to trim>', or '<why> <version> <epoch> <operation>': absent, foreign, format, other, behind; or
--       'trim 0 0 ' where trim.lua has to come first.
-- Fields of the hash: see append.lua. What becomes needless goes by trim.lua, some at a time.

local key = KEYS[1]
local m = redis.call('HMGET', key, 'f', 'i', 'v', 'o', 'e', 's', 'l', 'g')
local v, o, e, s = m[3], m[4], m[5], m[6]
if m[1] ~= '1' then
  if m[1] then return 'format 0 0 ' .. m[1] end
  return redis.call('EXISTS', key) == 1 and 'foreign 0 0 ' or 'absent 0 0 '
end
local function refused(why) return why .. ' ' .. v .. ' ' .. e .. ' ' .. o end

if ARGV[1] ~= m[2] then return refused('other') end
local version = tonumber(ARGV[2])
if version <= tonumber(s) or version > tonumber(v) then return refused('behind') end
local operation = o
if ARGV[2] ~= v then
  local change = redis.call('HGET', key, 'd' .. ARGV[2])
  operation = change and string.sub(change, 2, 1 + string.byte(change))
end
if operation ~= ARGV[3] then return refused('behind') end
if tonumber(m[7]) <= tonumber(m[8]) then return 'trim 0 0 ' end

redis.call('HSET', key, 's', ARGV[2], 'q', ARGV[3], 'S', ARGV[4], 'l', string.format('%.0f', s + 1), 'g', ARGV[2])
return 'left ' .. string.format('%.0f', version - s)
