-- Put a snapshot in the place of everything, or begin a session.
--
-- KEYS  1 the session, a hash
-- ARGV  1 incarnation, '' to begin a session that must not be there    2 expected version    3 the operation that made it
--       4 epoch of the writer, -1 where he does not know    5 operation id of this write    6 version of the snapshot
--       7 epoch from then on    8 time to live in ms, 0 to leave it    9 the snapshot    10 incarnation of a session that
--       is begun
-- Reply as append.lua, and 'exists <version> <epoch> <operation>', 'trim 0 0 ' where trim.lua has to come first.
-- Fields of the hash: see append.lua.

local key = KEYS[1]
local m = redis.call('HMGET', key, 'f', 'i', 'v', 'o', 'e', 't', 's', 'l', 'g', 'p' .. ARGV[5], 'k')
local i, v, o, e, t, s, done, k = m[2], m[3], m[4], m[5], m[6], m[7], m[10], m[11]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if m[1] ~= '1' then
  if m[1] then return 'format 0 0 ' .. m[1] end
  if redis.call('EXISTS', key) == 1 then return 'foreign 0 0 ' end
  if ARGV[1] ~= '' then return 'absent 0 0 ' end
  redis.call('HSET', key, 'f', '1', 'i', ARGV[10], 'v', ARGV[6], 'o', ARGV[5], 'e', ARGV[7],
    't', string.format('%.0f', now), 's', ARGV[6], 'q', ARGV[5], 'S', ARGV[9], 'k', ARGV[5], 'l', '1', 'g', '0')
  if ARGV[8] ~= '0' then redis.call('PEXPIRE', key, ARGV[8]) end
  return 'ok ' .. ARGV[6] .. ' ' .. ARGV[6] .. ' ' .. ARGV[7] .. ' ' .. ARGV[10] .. ' '
end
local function refused(why) return why .. ' ' .. v .. ' ' .. e .. ' ' .. o end

if ARGV[1] ~= '' and ARGV[1] ~= i then return refused('other') end
if ARGV[5] == o then return 'ok ' .. v .. ' ' .. s .. ' ' .. e .. ' ' .. i .. ' ' end
if done then return 'ok ' .. string.match(done, '^%d+') .. ' ' .. s .. ' ' .. e .. ' ' .. i .. ' ' end
if ARGV[1] == '' then return refused('exists') end
local epoch, new_epoch = tonumber(ARGV[4]), tonumber(ARGV[7])
if epoch >= 0 and epoch < tonumber(e) then return refused('fenced') end
if epoch > tonumber(e) or ARGV[2] ~= v or ARGV[3] ~= o then return refused('conflict') end
if new_epoch ~= tonumber(e) and new_epoch ~= tonumber(e) + 1 then return refused('conflict') end
if tonumber(m[8]) <= tonumber(m[9]) then return 'trim 0 0 ' end

now = math.max(tonumber(t), now)

-- As in append.lua: who only saves would have his operations remembered for ever.
local gone, since = {}, now - 60000
for _ = 1, 2 do
  local entry = k == o and (v .. ' ' .. t .. ' ' .. ARGV[5]) or redis.call('HGET', key, 'p' .. k)
  local time, after = string.match(entry or '', '^%d+ (%d+) (.*)$')
  if not time or tonumber(time) > since then break end
  gone[#gone + 1] = 'p' .. k
  k = after
  if k == ARGV[5] then break end
end

redis.call('HSET', key, 'v', ARGV[6], 'o', ARGV[5], 'e', ARGV[7], 't', string.format('%.0f', now), 's', ARGV[6], 'k', k,
  'q', ARGV[5], 'S', ARGV[9], 'p' .. o, v .. ' ' .. t .. ' ' .. ARGV[5], 'l', string.format('%.0f', s + 1), 'g', v)
if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
if ARGV[8] ~= '0' then redis.call('PEXPIRE', key, ARGV[8]) end
return 'ok ' .. ARGV[6] .. ' ' .. ARGV[6] .. ' ' .. ARGV[7] .. ' ' .. i .. ' ' .. o
