local key = KEYS[6]
local r = owned(key, ARGV[7], ARGV[8])
if not r then return reply('stale') end
r.lease = text(now + tonumber(ARGV[9]))
redis.call('HSET', key, 'l', r.lease)
keep(key, r)
changed()
return reply('ok')
