package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warren-rpc/warren/store"
)

// version is that of what the keys hold.
const version = 1

// Open opens the store with that prefix, and makes it if it is not there. The client is
// the application's, and stays open when the store is closed: one of a single Redis, of
// Sentinel or of Redis Cluster.
//
// It fails if Redis would evict keys to make room, or is not as durable as o says; with a
// *store.VersionError if a later version of this package has made the store; with a
// *store.UnavailableError if Redis does not answer.
func Open(ctx context.Context, client redis.UniversalClient, o Options) (*Store, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	switch client.(type) {
	case *redis.Ring:
		return nil, errors.New("redisstore: a Ring divides its keys among servers that know nothing of each other; use one of them")
	case *redis.ClusterClient:
		if o.Replicas > 0 {
			return nil, errors.New("redisstore: Options.Replicas cannot be had from a client of Redis Cluster")
		}
	}
	s := newStore(client, o)
	err = s.check(ctx)
	for asked := 1; timedOut(err) && asked < openPatience && ctx.Err() == nil; asked++ {
		err = s.check(ctx)
	}
	if err == nil {
		err = s.join(ctx)
	}
	if err != nil {
		return nil, errors.Join(s.opening(ctx, err), s.end())
	}
	s.owners.start() //nolint:contextcheck // it outlives Open's
	return s, nil
}

// OpenURL opens a store as Open does, with a client of its own, which Close closes. The
// URL is one for Connect. Its parameter prefix is Options.Prefix, if that is not set.
func OpenURL(ctx context.Context, address string, o Options) (*Store, error) {
	client, prefix, err := Connect(address)
	if err != nil {
		return nil, err
	}
	if o.Prefix == "" {
		o.Prefix = prefix
	}
	s, err := Open(ctx, client, o)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	s.own = client
	return s, nil
}

// Connect returns a client for a URL, which connects when it is used, and the parameter
// prefix. The URL is redis://user:password@host:port/database, or rediss:// for TLS, with
// the parameters that go-redis has: with master_name it is of Sentinels, with addr of
// Redis Cluster. Errors do not show its password.
func Connect(address string) (client redis.UniversalClient, prefix string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		// Its error would have the password.
		return nil, "", errors.New("redisstore: this is not a URL; want redis://user:password@host:port/database")
	}
	query := u.Query()
	prefix = query.Get("prefix")
	query.Del("prefix")
	u.RawQuery = query.Encode()
	switch {
	case query.Has("master_name"):
		o, err := redis.ParseFailoverURL(u.String())
		if err != nil {
			return nil, "", fmt.Errorf("redisstore: %s: %w", u.Redacted(), err)
		}
		o.ContextTimeoutEnabled = true
		client = redis.NewFailoverClient(o)
	case query.Has("addr"):
		o, err := redis.ParseClusterURL(u.String())
		if err != nil {
			return nil, "", fmt.Errorf("redisstore: %s: %w", u.Redacted(), err)
		}
		o.ContextTimeoutEnabled = true
		client = redis.NewClusterClient(o)
	default:
		o, err := redis.ParseURL(u.String())
		if err != nil {
			return nil, "", fmt.Errorf("redisstore: %s: %w", u.Redacted(), err)
		}
		o.ContextTimeoutEnabled = true
		client = redis.NewClient(o)
	}
	return client, prefix, nil
}

// place is where the client's Redis is, for people.
func place(client redis.UniversalClient, prefix string) string {
	at := "redis"
	switch c := client.(type) {
	case *redis.Client:
		at = fmt.Sprintf("redis://%s/%d", c.Options().Addr, c.Options().DB)
	case *redis.ClusterClient:
		at = fmt.Sprintf("Redis Cluster %v", c.Options().Addrs)
	}
	return at + ", prefix " + prefix
}

// opening turns an error into one of Open.
func (s *Store) opening(ctx context.Context, err error) error {
	var refusal *refusedError
	var later *store.VersionError
	if errors.As(err, &refusal) || errors.As(err, &later) {
		return err
	}
	return s.failure(ctx, "open", err)
}

// join makes this owner one of the store's.
func (s *Store) join(ctx context.Context) error {
	if s.opts.MustExist {
		n, err := s.client.Exists(ctx, s.keys.meta).Result()
		if err != nil {
			return err
		}
		if n == 0 {
			return &refusedError{"there is no store at " + s.identity.Place}
		}
	}
	at := ""
	if s.opts.Now != nil {
		at = micros(s.opts.Now())
	}
	keys := []string{s.keys.meta, s.keys.owners, s.keys.changes}
	meta, err := s.client.Eval(ctx, openScript.source, keys, s.fresh(), version, at, s.owner).StringSlice()
	if err != nil {
		return err
	}
	if len(meta) != 3 {
		return errReply
	}
	if have, err := strconv.Atoi(meta[2]); err != nil || have > version {
		return errors.Join(err, &store.VersionError{Path: s.identity.Place, Have: have, Known: version})
	}
	created, err := strconv.ParseInt(meta[1], 10, 64)
	s.identity.ID, s.identity.Created = meta[0], time.UnixMicro(created)
	return err
}

// fresh returns an identity that no store has.
func (s *Store) fresh() string { return rand.Text()[:16] }

// openPatience is how often Open asks Redis how it is configured: by a connection that waits
// for no answer longer than a beat, which a busy Redis may well take.
const openPatience = 5

func timedOut(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}
