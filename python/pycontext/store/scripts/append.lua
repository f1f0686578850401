-- Append a change to a session.
--
-- KEYS  1 the session, a hash
-- ARGV  1 incarnation, '' for any    2 expected version, -1 for any    3 the operation that made it
--       4 epoch of the writer, -1 where he does not know    5 operation id of this write    6 epoch from then on, -1 for
--       that of now    7 time to live in ms, 0 to leave it    8 the change
-- Reply 'ok <version> <snapshot version> <epoch> <incarnation> <operation before>', also where this operation was done
--       before ('' for the operation before it then); or '<why> <version> <epoch> <operation>':
--       absent, foreign, format, other, fenced, conflict.
--
-- Fields of the hash: f format, i incarnation, v version, o operation of v, e epoch, t time of v in ms, s snapshot
-- version, q operation of s, S snapshot, d<version> a change behind its operation id, k oldest operation that is
-- remembered, p<operation> '<version> <time> <next operation>' of those before o, l and g the first and the last change
-- that a snapshot made needless.

local key, call = KEYS[1], redis.call
local m = call('HMGET', key, 'f', 'i', 'v', 'o', 'e', 't', 's', 'k', 'p' .. ARGV[5])
local i, v, o, e, t, s, k, done = m[2], m[3], m[4], m[5], m[6], m[7], m[8], m[9]
if m[1] ~= '1' then
  if m[1] then return 'format 0 0 ' .. m[1] end
  return call('EXISTS', key) == 1 and 'foreign 0 0 ' or 'absent 0 0 '
end

local why
if ARGV[1] ~= '' and ARGV[1] ~= i then
  why = 'other'
elseif ARGV[5] == o or done then
  return 'ok ' .. (done and string.match(done, '^%d+') or v) .. ' ' .. s .. ' ' .. e .. ' ' .. i .. ' '
elseif ARGV[4] ~= '-1' and ARGV[4] ~= e then
  why = tonumber(ARGV[4]) < tonumber(e) and 'fenced' or 'conflict'
elseif ARGV[2] ~= '-1' and (ARGV[2] ~= v or ARGV[3] ~= o) then
  why = 'conflict'
elseif ARGV[6] ~= '-1' and ARGV[6] ~= e and tonumber(ARGV[6]) ~= e + 1 then
  why = 'conflict'
end
if why then return why .. ' ' .. v .. ' ' .. e .. ' ' .. o end
if ARGV[6] ~= '-1' then e = ARGV[6] end

local clock = call('TIME')
-- A clock that goes back makes nothing older than what came before it.
local now = math.max(t, clock[1] * 1000 + math.floor(clock[2] / 1000))
local new = v + 1

-- Operations are remembered for a minute: what is older goes, now and then, and more than came, so that their number
-- falls.
local gone, since = {}, now - 60000
if new % 8 == 0 then
  for _ = 1, 16 do
    local entry = k == o and (v .. ' ' .. t .. ' ' .. ARGV[5]) or call('HGET', key, 'p' .. k)
    local time, after = string.match(entry or '', '^%d+ (%d+) (.*)$')
    if not time or tonumber(time) > since then break end
    gone[#gone + 1] = 'p' .. k
    k = after
    if k == ARGV[5] then break end
  end
end

call('HSET', key, 'v', new, 'o', ARGV[5], 'e', e, 't', now, 'k', k,
  'd' .. new, string.char(#ARGV[5]) .. ARGV[5] .. ARGV[8], 'p' .. o, v .. ' ' .. t .. ' ' .. ARGV[5])
-- Behind the first write: a server without room refuses that one, and nothing was changed.
if #gone > 0 then call('HDEL', key, unpack(gone)) end
if ARGV[7] ~= '0' then call('PEXPIRE', key, ARGV[7]) end
return 'ok ' .. new .. ' ' .. s .. ' ' .. e .. ' ' .. i .. ' ' .. o
