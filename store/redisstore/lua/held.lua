-- For each of the records from the sixth key on: whether it is in progress with that token
-- and an owner that is alive.
local held = {}
for i = 6, #KEYS do
  local v = redis.call('HMGET', KEYS[i], 's', 'b', 't', 'l', 'o')
  local token = ARGV[7 + (i - 6) * 2] .. ':' .. ARGV[8 + (i - 6) * 2]
  local is = v[1] == '1' and v[2] .. ':' .. v[3] == token and now < tonumber(v[4]) and redis.call('HEXISTS', OWNERS, v[5]) == 1
  held[#held + 1] = is and 1 or 0
end
local answer = reply('ok')
answer[3] = held
return answer
