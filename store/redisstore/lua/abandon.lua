local key = KEYS[6]
local UNENDED, UNDONE = 0, 2
local r, other = owned(key, ARGV[7], ARGV[8])
local attemptEnd = tonumber(ARGV[9])
if not r then
  if other and other.nonce == nonce then return reply('ok') end -- sent a second time
  return reply('stale')
end
if attemptEnd == UNDONE and r.first == '1' then
  redis.call('DEL', key)
else
  r.state = INTERRUPTED
  if attemptEnd ~= UNENDED then r.attempts = r.attempts - 1 end
  redis.call('HSET', key, 's', r.state, 'a', r.attempts, 'l', '0', 'u', text(now), 'n', nonce)
  keep(key, r)
end
changed()
return reply('ok')
