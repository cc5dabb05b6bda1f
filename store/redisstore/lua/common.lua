-- What all scripts begin with. Times are in microseconds since 1970, as whole numbers.
local META, OWNERS, CHANGES, TOKENS, TOMBSTONES = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, confirmed, fresh, at, owner, nonce = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local IN_PROGRESS, INTERRUPTED, PARKED, TOMBSTONE = 1, 2, 5, 6

local now
if at == '' then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
else
  now = tonumber(at)
end

-- text writes a whole number that may be too large for tostring.
local function text(n) return string.format('%.0f', n) end

-- A replica, which may not have the last changes, answers nothing: it refuses all
-- commands that could write, as this one could.
local function primary() redis.call('PERSIST', META) end

-- lost gives the store another identity, so that all its servers stop, and returns why.
local function lost(why)
  primary() -- a full Redis refuses to write anything that takes memory, but not after a first write
  redis.call('HSET', META, 'id', fresh, 'created', text(now), 'before', id)
  return redis.error_reply('WARRENLOST ' .. why .. '; the store ' .. id .. ' is ' .. fresh .. ' from now on')
end

-- Data that were lost are never taken for calls that never came.
local have = redis.call('HGET', META, 'id')
if have ~= id then
  primary()
  return redis.error_reply('WARRENLOST the store ' .. id .. ' is gone; here is ' .. (have or 'none'))
end
local changes = redis.call('GET', CHANGES) or '0'
if tonumber(changes) < confirmed then
  return lost('of ' .. text(confirmed) .. ' changes that were confirmed there are ' .. changes)
end

-- changed counts a change of this owner's, which also says that it is alive: what an owner
-- has claimed is its own, though others had taken it for dead before.
local function changed()
  redis.call('HINCRBY', OWNERS, owner, 1)
  changes = redis.call('INCR', CHANGES)
  return changes
end

-- find returns the record, or nil if there is none or its retention is over; past says
-- that Redis has that one still. dead says that it is in progress with a dead owner.
local function find(key)
  local v = redis.call('HMGET', key, 's', 'b', 't', 'a', 'i', 'o', 'l', 'k', 'u', 'e', 'f', 'm', 'c', 'z', 'd', 'p', 'n')
  if not v[1] then return nil end
  local r = {
    state = tonumber(v[1]), base = v[2], turn = tonumber(v[3]), attempts = tonumber(v[4]), first = v[5], owner = v[6],
    lease = v[7], created = v[8], updated = v[9], expires = v[10], fingerprint = v[11], method = v[12], call = v[13],
    size = v[14], digest = v[15], payload = v[16], nonce = v[17],
  }
  r.dead = r.state == IN_PROGRESS and (now >= tonumber(r.lease) or redis.call('HEXISTS', OWNERS, r.owner) == 0)
  if now >= tonumber(r.expires) and (r.state ~= IN_PROGRESS or r.dead) then return nil, 'past' end
  return r
end

-- view is the record as callers see it, or an empty list for none.
local function view(r)
  if not r then return {} end
  local state, lease = r.state, r.lease
  if r.dead then state, lease = INTERRUPTED, '0' end
  return {
    state, r.base, r.turn, r.attempts, r.first, r.owner, lease, r.created, r.updated, r.expires,
    r.fingerprint, r.method, r.call, r.size, r.digest, r.payload,
  }
end

-- reply is what a script returns: a word, how many changes this owner has made, and the
-- record.
local function reply(word, r)
  primary()
  return { word, changes, view(r) }
end

local UNKNOWN = string.rep('\0', 16)

-- matches reports whether two fingerprints can be of one request. Halves that are zero
-- are not known.
local function matches(f, g)
  local a, b, c, d = string.sub(f, 1, 16), string.sub(g, 1, 16), string.sub(f, 17), string.sub(g, 17)
  return (a == b or a == UNKNOWN or b == UNKNOWN) and (c == d or c == UNKNOWN or d == UNKNOWN)
end

-- keep has Redis forget the record a minute after it may: that it may is for find to say.
local function keep(key, r)
  local till = tonumber(r.expires)
  if r.state == IN_PROGRESS then till = math.max(till, tonumber(r.lease)) end
  redis.call('PEXPIRE', key, text(math.max(0, math.ceil((till - now) / 1000)) + 60000))
end

-- owned returns the record in progress with that token, or nil.
local function owned(key, base, turn)
  local r = find(key)
  if r and r.state == IN_PROGRESS and r.base == base and text(r.turn) == turn then return r end
  return nil, r -- which may be nil, too
end
