package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/redisstore"
)

// redisLocation is a store in Redis.
type redisLocation struct {
	shown   string // the URL without passwords
	url     string // for redisstore
	options redisstore.Options
}

// quietRedis keeps the driver from writing to standard error by itself: what matters is
// in errors.
var quietRedis = sync.OnceFunc(logging.Disable)

// newRedisLocation reads a URL of redisstore's with the parameters durability, which is
// disk or replicas, and replicas, which is how many.
func newRedisLocation(raw string) (storeLocation, error) {
	quietRedis()
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return nil, errors.New("is not a URL such as redis://user:password@host:6379/0 (a password with special characters must be percent-encoded)")
	}
	query := u.Query()
	p := &redisLocation{shown: withoutPassword(raw)}
	switch durability := query.Get("durability"); durability {
	case "":
	case "disk":
		p.options.Durability = redisstore.OnDisk
	case "replicas":
		p.options.Durability = redisstore.OnReplicas
	default:
		return nil, fmt.Errorf("durability is %.60q; it must be disk or replicas", durability)
	}
	if query.Has("replicas") {
		if p.options.Replicas, err = strconv.Atoi(query.Get("replicas")); err != nil || p.options.Replicas < 1 {
			return nil, errors.New("replicas must be a number from 1 on")
		}
	}
	query.Del("durability")
	query.Del("replicas")
	u.RawQuery = query.Encode()
	p.url = u.String()
	client, prefix, err := redisstore.Connect(p.url)
	if err != nil {
		return nil, errors.Unwrap(err) // the URL is before it
	}
	p.options.Prefix = prefix
	return p, client.Close()
}

func (p *redisLocation) String() string { return p.shown }

func (*redisLocation) states() []store.State { return sharedStates }

// open opens the store with a client of its own, which closes ends.
func (p *redisLocation) open(ctx context.Context, o redisstore.Options) (s *redisstore.Store, client redis.UniversalClient, closes func() error, err error) {
	if client, _, err = redisstore.Connect(p.url); err != nil {
		return nil, nil, nil, err
	}
	if s, err = redisstore.Open(ctx, client, o); err != nil {
		return nil, nil, nil, errors.Join(err, client.Close())
	}
	return s, client, func() error { return errors.Join(s.Close(), client.Close()) }, nil
}

func (p *redisLocation) inspect(ctx context.Context) (inspector, error) {
	o := p.options
	o.MustExist, o.Logger = true, slog.New(slog.DiscardHandler)
	s, _, closes, err := p.open(ctx, o)
	if err != nil {
		return nil, err
	}
	return &sharedInspector{s, p.shown, closes}, nil
}

func (p *redisLocation) check(ctx context.Context) (*storeCheckResult, error) {
	return checkShared(ctx, p)
}

func (p *redisLocation) sweep(ctx context.Context) (int, error) { return sweepShared(ctx, p) }

func (p *redisLocation) remember(ctx context.Context, mode server.Mode, log *slog.Logger) (*memory, error) {
	if mode == server.Transactional {
		return nil, exit(exitUsage, "--store-mode transactional needs a file or PostgreSQL: Redis has no transactions that a handler could join")
	}
	o := p.options
	o.Logger = log
	s, client, closes, err := p.open(ctx, o)
	if err != nil {
		return nil, err
	}
	counter := cmp.Or(p.options.Prefix, "warren") + ":sample.count"
	return &memory{store: s, closes: closes, count: func(srv *server.Server, settings server.Method) error {
		return server.Handle(srv, settings, func(ctx context.Context, _ anyText) (string, error) {
			n, err := client.Incr(ctx, counter).Result()
			if err != nil {
				return "", fmt.Errorf("the counter: %w", err)
			}
			return strconv.FormatInt(n, 10), nil
		})
	}}, nil
}
