local key = KEYS[6]
local r, other = owned(key, ARGV[7], ARGV[8])
if not r then
  if other and other.nonce == nonce then return reply('ok') end -- sent a second time
  return reply('stale')
end
r.state, r.expires = tonumber(ARGV[9]), text(now + tonumber(ARGV[10]))
local fields = { 's', r.state, 'l', '0', 'u', text(now), 'e', r.expires, 'z', ARGV[11], 'd', ARGV[12], 'n', nonce }
if ARGV[13] then
  fields[#fields + 1] = 'p'
  fields[#fields + 1] = ARGV[13]
end
redis.call('HSET', key, unpack(fields))
keep(key, r)
changed()
return reply('ok')
