return reply('ok', find(KEYS[6]))
