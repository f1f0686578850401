-- Put a hint into an inbox.
--
-- KEYS  1 the inbox, a stream
-- ARGV  1 session    2 sender    3 version    4 epoch    5 hints to keep, about    6 time to live of the inbox in ms
-- Reply the id of the hint.

local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[5], '*', 's', ARGV[1], 'f', ARGV[2], 'v', ARGV[3], 'e', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return id
