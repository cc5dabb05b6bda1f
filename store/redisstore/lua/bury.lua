local key, tombstone = KEYS[6], KEYS[7]
local retention, fingerprint, method, call, limit = tonumber(ARGV[7]), ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[11])
local expires = text(now + retention)

local r = find(key)
local t
if not r or not matches(r.fingerprint, fingerprint) then t = find(tombstone) end
if t and t.nonce == nonce then return reply('ok') end -- sent a second time
if t then return reply('ok', t) end
if r and not matches(r.fingerprint, fingerprint) then return reply('reused') end

if not r then
  if redis.call('ZCOUNT', TOMBSTONES, '(' .. text(now), '+inf') >= limit then return reply('tombstones') end
  -- Of a full Redis this is refused, and nothing was changed. It sets all that a tombstone has.
  redis.call('HSET', tombstone, 's', TOMBSTONE, 'b', '0', 't', 0, 'a', 0, 'i', '0', 'o', '', 'l', '0',
    'k', text(now), 'u', text(now), 'e', expires, 'f', fingerprint, 'm', method, 'c', call, 'z', '0', 'n', nonce)
  redis.call('ZADD', TOMBSTONES, text(now + retention), tombstone)
  redis.call('ZREMRANGEBYSCORE', TOMBSTONES, '-inf', text(now))
  keep(tombstone, { state = TOMBSTONE, expires = expires })
  changed()
  return reply('ok')
end

if r.state == TOMBSTONE and r.nonce == nonce then
  r.state = INTERRUPTED -- sent a second time
  return reply('ok', r)
end
local before = reply('ok', r)
if r.dead or r.state == INTERRUPTED then
  r.state, r.lease, r.dead = TOMBSTONE, '0', false
  if now + retention > tonumber(r.expires) then r.expires = expires end
  redis.call('HSET', key, 's', r.state, 'l', '0', 'u', text(now), 'e', r.expires, 'n', nonce)
  keep(key, r)
  before[2] = changed()
end
return before
