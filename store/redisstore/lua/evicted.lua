-- Redis has forgotten keys to make room: nobody knows which.
return lost('Redis has evicted keys')
