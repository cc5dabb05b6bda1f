package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// checkEvery is how often an open store looks at how Redis is configured; also when Redis
// is reached again: it may be another one.
const checkEvery = 3 * time.Second

// evictions is how many keys a process of Redis has evicted.
type evictions struct {
	process string
	count   int64
}

// refusedError says why a Redis is not taken.
type refusedError struct{ why string }

func (e *refusedError) Error() string { return "redisstore: " + e.why }

// check looks at how Redis is configured. It notes how many keys were evicted, and tells
// all servers of the store if there were more since it looked last. Its error is then that
// of a loss.
func (s *Store) check(ctx context.Context) error {
	info, err := s.info(ctx, s.session, "default")
	if err != nil {
		return err
	}
	count, _ := strconv.ParseInt(info["evicted_keys"], 10, 64) // 0 if it does not tell
	before := s.evicted
	if count > before.count && info["run_id"] == before.process {
		o := s.op(evictedScript, nil)
		if err := s.session.Eval(ctx, o.script.source, o.keys, o.args...).Err(); err != nil {
			return err
		}
	}
	s.evicted = evictions{info["run_id"], count}
	// With any other policy Redis makes room by forgetting, first of all what will be
	// forgotten anyway: all records. A limit may be set at any time.
	if policy := info["maxmemory_policy"]; policy != "noeviction" && policy != "" {
		return &refusedError{fmt.Sprintf("Redis has maxmemory-policy %s: under pressure it forgets what calls have done. "+
			"Set it to noeviction, or give the store a Redis of its own", policy)}
	}
	if s.opts.Durability != OnDisk {
		return nil
	}
	return s.checkDisk(ctx)
}

// checkDisk looks at whether Redis has on its disk what it confirms.
func (s *Store) checkDisk(ctx context.Context) error {
	node, err := s.node(ctx, s.session)
	if err != nil {
		return err
	}
	for name, want := range map[string]string{"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"} {
		config, err := node.ConfigGet(ctx, name).Result()
		if _, answered := errors.AsType[redis.Error](err); answered {
			return nil // it does not tell: the application's word is taken
		}
		if err != nil {
			return err
		}
		if have, told := config[name]; told && have != want {
			return &refusedError{fmt.Sprintf("Options.Durability is OnDisk, and Redis has %s %s; it must be %s", name, have, want)}
		}
	}
	return nil
}

// recheck checks the Redis of an open store. While it is refused, the store does nothing.
func (s *Store) recheck(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	err := s.check(ctx)
	var refusal *refusedError
	switch {
	case errors.As(err, &refusal):
		s.line.refuse(refusal)
	case err == nil:
		s.line.refuse(nil)
	}
	return err
}
