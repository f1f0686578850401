-- Remove a hint from an inbox.
--
-- KEYS  1 the inbox, a stream
-- ARGV  1 id of the hint
-- Reply how many were removed, 0 or 1.

redis.pcall('XACK', KEYS[1], 'pctx', ARGV[1])
return redis.call('XDEL', KEYS[1], ARGV[1])
