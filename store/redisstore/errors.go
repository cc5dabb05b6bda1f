package redisstore

import (
	"bufio"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warren-rpc/warren/store"
)

// fullRetryAfter is when room may have been made: Redis forgets records all the time.
const fullRetryAfter = time.Second

// failure turns an error of Redis or its client into one of package store.
func (s *Store) failure(ctx context.Context, op string, err error) error {
	switch {
	case err == nil || errors.Is(err, store.ErrClosed) || ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return err
	case redis.HasErrorPrefix(err, "WARRENLOST"):
		return &store.CorruptError{
			Path: s.identity.Place, Detail: "Redis has lost data: " + err.Error(),
			Repair: "redis-cli info persistence, info replication", Cause: err,
		}
	case redis.HasErrorPrefix(err, "OOM"):
		// Without figures it is full all the same.
		size, limit, _ := s.memory(ctx)
		return &store.FullError{Size: size, Limit: limit, RetryAfter: fullRetryAfter}
	default:
		return &store.UnavailableError{Op: op, Cause: err}
	}
}

// memory is how much Redis has in use, and may have; in bytes, 0 for no limit.
func (s *Store) memory(ctx context.Context) (size, limit int64, err error) {
	info, err := s.info(ctx, s.client, "memory")
	if err != nil {
		return 0, 0, err
	}
	size, _ = strconv.ParseInt(info["used_memory"], 10, 64) // 0 is "not known"
	limit, _ = strconv.ParseInt(info["maxmemory"], 10, 64)
	return size, limit, nil
}

// info returns what the node that has the store tells of itself.
func (s *Store) info(ctx context.Context, client redis.UniversalClient, section string) (map[string]string, error) {
	node, err := s.node(ctx, client)
	if err != nil {
		return nil, err
	}
	text, err := node.Info(ctx, section).Result()
	if err != nil {
		return nil, err
	}
	info := make(map[string]string)
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if name, value, found := strings.Cut(lines.Text(), ":"); found {
			info[name] = value
		}
	}
	return info, nil
}
