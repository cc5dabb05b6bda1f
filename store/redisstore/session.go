package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// newSession returns a client like the application's, with one connection of its own: the
// application's may all be in use, or one may hang, and the owner must not be dead for it.
// A client of another type is used as it is, and not closed.
func newSession(client redis.UniversalClient) (session redis.UniversalClient, end func() error) {
	const retries = 1 // so that one connection that hangs does not cost a whole beat
	switch c := client.(type) {
	case *redis.Client:
		o := *c.Options()
		o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = 1, 0, 0, 0
		o.MaxRetries, o.ContextTimeoutEnabled = retries, true
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = beatTimeout, beatTimeout/2, beatTimeout/2, beatTimeout
		o.PushNotificationProcessor = nil // a client has its own
		session := redis.NewClient(&o)
		return session, session.Close
	case *redis.ClusterClient:
		o := *c.Options()
		o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns = 1, 0, 0, 0
		o.MaxRedirects, o.ContextTimeoutEnabled = max(o.MaxRedirects, retries), true
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = beatTimeout, beatTimeout/2, beatTimeout/2, beatTimeout
		session := redis.NewClusterClient(&o)
		return session, session.Close
	}
	return client, func() error { return nil }
}

// node is the server of the client's that has the store's keys.
func (s *Store) node(ctx context.Context, client redis.UniversalClient) (redis.UniversalClient, error) {
	if cluster, is := client.(*redis.ClusterClient); is {
		return cluster.MasterForKey(ctx, s.keys.meta)
	}
	return client, nil
}
