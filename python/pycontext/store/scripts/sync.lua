-- Ask what is new in a session.
--
-- KEYS  1 the session, a hash
-- ARGV  1 incarnation, '' for everything    2 version of the asker    3 the operation that made it    4 changes to answer
--       with at most
-- Reply '=' where nothing is new; '<why> 0 0 <format>': absent, foreign, format; or a list: incarnation, version,
--       operation, epoch, snapshot version, its operation, the snapshot ('' where the asker's version goes on), and the
--       changes, each behind the length of its operation id in one byte and that id.
-- Fields of the hash: see append.lua.

local key = KEYS[1]
local m = redis.call('HMGET', key, 'f', 'i', 'v', 'o', 'e', 's', 'q')
local i, v, o, s = m[2], m[3], m[4], m[6]
if m[1] ~= '1' then
  if m[1] then return 'format 0 0 ' .. m[1] end
  return redis.call('EXISTS', key) == 1 and 'foreign 0 0 ' or 'absent 0 0 '
end
local start = nil
if ARGV[1] == i then
  if ARGV[2] == v then
    if ARGV[3] == o then return '=' end
  elseif ARGV[2] == s then
    if ARGV[3] == m[7] then start = tonumber(s) end
  elseif tonumber(ARGV[2]) > tonumber(s) and tonumber(ARGV[2]) < tonumber(v) then
    local change = redis.call('HGET', key, 'd' .. ARGV[2])
    if change and string.sub(change, 2, 1 + string.byte(change)) == ARGV[3] then start = tonumber(ARGV[2]) end
  end
end
local reply = {i, v, o, m[5], s, m[7], ''}
if not start then
  start = tonumber(s)
  reply[7] = redis.call('HGET', key, 'S')
end
local last = math.min(tonumber(v), start + tonumber(ARGV[4]))
-- In pieces: a call of Lua takes some thousands of arguments and no more.
for first = start + 1, last, 1000 do
  local fields = {}
  for version = first, math.min(last, first + 999) do fields[#fields + 1] = string.format('d%.0f', version) end
  for _, change in ipairs(redis.call('HMGET', key, unpack(fields))) do reply[#reply + 1] = change or '' end
end
return reply
