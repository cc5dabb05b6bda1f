-- Makes this owner one of the store, which is made if it is not there. It has no prelude.
local META, OWNERS, CHANGES = KEYS[1], KEYS[2], KEYS[3]
local fresh, version, at, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local meta = redis.call('HMGET', META, 'id', 'created', 'version')
if meta[3] and tonumber(meta[3]) > tonumber(version) then return meta end
if not meta[1] then
  local created = at
  if at == '' then
    local t = redis.call('TIME')
    created = string.format('%.0f', t[1] * 1000000 + t[2])
  end
  meta = { fresh, created, version }
  redis.call('HSET', META, 'id', fresh, 'created', created, 'version', version)
end
redis.call('SET', CHANGES, '0', 'PX', 2592000000)
redis.call('HSET', OWNERS, owner, 1)
return meta
