-- Take hints from an inbox: those whose lease is over, then new ones.
--
-- KEYS  1 the inbox, a stream
-- ARGV  1 hints to take at most    2 lease in ms
-- Reply a list of id, session, sender, version and epoch of each, one behind the other.

local key, most = KEYS[1], tonumber(ARGV[1])
-- The server compares how long ago a hint was taken with one time for all. So a hint is said to have been taken long ago,
-- and the longer ago the sooner its own lease is over. Nothing was taken before 1970: half as long is the longest lease.
local longest = 800000000000
local lease = math.min(tonumber(ARGV[2]), longest)
if redis.call('EXISTS', key) == 0 then return {} end
redis.pcall('XGROUP', 'CREATE', key, 'pctx', '0')
local reply = {}
local function add(entries)
  for _, entry in ipairs(entries) do
    -- What was trimmed away while it was leased has no fields.
    if entry and entry[2] then
      local f = entry[2]
      for _, value in ipairs({entry[1], f[2], f[4], f[6], f[8]}) do reply[#reply + 1] = value end
    end
  end
end
add(redis.call('XAUTOCLAIM', key, 'pctx', 'any', string.format('%.0f', longest), '0', 'COUNT', most)[2])
local left = most - #reply / 5
if left > 0 then
  local new = redis.call('XREADGROUP', 'GROUP', 'pctx', 'any', 'COUNT', left, 'STREAMS', key, '>')
  if new then add(new[1][2]) end
end
local claim = {}
for at = 1, #reply, 5 do claim[#claim + 1] = reply[at] end
if #claim > 0 then
  claim[#claim + 1], claim[#claim + 2], claim[#claim + 3] = 'IDLE', string.format('%.0f', longest - lease), 'JUSTID'
  redis.call('XCLAIM', key, 'pctx', 'any', '0', unpack(claim))
end
return reply
