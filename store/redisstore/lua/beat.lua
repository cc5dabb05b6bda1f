-- Says that this owner is alive, and returns how often each of them has said so. Then, in
-- pairs, come owners that this one knows to be dead, with what they had said last.
for i = 7, #ARGV, 2 do
  if redis.call('HGET', OWNERS, ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', OWNERS, ARGV[i]) end
end
redis.call('HINCRBY', OWNERS, owner, 1)
redis.call('PEXPIRE', CHANGES, 2592000000)
return { 'ok', changes, redis.call('HGETALL', OWNERS) }
