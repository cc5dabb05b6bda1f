-- Ends this owner. Its count stays for a while: this may be sent a second time.
redis.call('HDEL', OWNERS, owner)
redis.call('PEXPIRE', CHANGES, 3600000)
return { 'ok', changes, {} }
