local key, tombstone = KEYS[6], KEYS[7]
local lease, retention, once, unpark = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9] == '1', ARGV[10] == '1'
local fingerprint, method, call = ARGV[11], ARGV[12], ARGV[13]
local LAST_TURN = 1048575

local ended = false
local r, past = find(key)
if r and r.nonce == nonce and r.state == IN_PROGRESS then
  return reply('won', r) -- sent a second time: the first reply was lost
end
if r and not matches(r.fingerprint, fingerprint) then
  return reply('reused')
end
if not r then
  if tombstone then
    local t = find(tombstone)
    if t then return reply('lost', t) end
  end
  -- Of a full Redis this is refused, and nothing was changed.
  local base = text(redis.call('INCR', TOKENS))
  if past then redis.call('DEL', key) end
  r = {
    base = base, turn = 0, attempts = 1, first = '1', created = text(now), fingerprint = fingerprint,
    method = method, call = call, size = '0',
  }
elseif (r.dead or r.state == INTERRUPTED) and not once or r.state == PARKED and unpark then
  local base, turn = r.base, r.turn + 1
  if turn > LAST_TURN then
    base, turn = text(redis.call('INCR', TOKENS)), 0
  end
  if r.state == PARKED then
    r.attempts, r.size, r.digest, r.payload = 0, '0', nil, nil
    ended = true
  end
  if r.fingerprint == UNKNOWN .. UNKNOWN then r.fingerprint = fingerprint end
  r.base, r.turn, r.attempts, r.first = base, turn, r.attempts + 1, '0'
else
  return reply('lost', r)
end
r.state, r.dead, r.owner, r.lease = IN_PROGRESS, false, owner, text(now + lease)
r.updated, r.expires = text(now), text(now + retention)
redis.call('HSET', key, 's', r.state, 'b', r.base, 't', r.turn, 'a', r.attempts, 'i', r.first, 'o', owner, 'l', r.lease,
  'k', r.created, 'u', r.updated, 'e', r.expires, 'f', r.fingerprint, 'm', r.method, 'c', r.call, 'z', r.size, 'n', nonce)
if ended then redis.call('HDEL', key, 'd', 'p') end
keep(key, r)
changed()
return reply('won', r)
