package redisstore

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/patience"
)

// longLease is one that does not run out in a test.
func longLease(n int64) store.Claim {
	c := claimOf(numbered(n))
	c.Lease = time.Hour
	return c
}

func (s *Store) eventually(t *testing.T, r store.Record, state store.State) {
	t.Helper()
	patience.Eventually(t, "the record is "+state.String(), func() bool {
		got, err := s.Get(t.Context(), r.Key)
		return err == nil && got.State == state
	})
}

func TestDeathIsKnownLongBeforeTheLeaseEnds(t *testing.T) {
	t.Parallel()
	server, prefix := sharedServer(t)
	s, other := open(t, server.URL(), Options{Prefix: prefix}), open(t, server.URL(), Options{Prefix: prefix})
	taken := win(t, s, longLease(1))
	win(t, s, longLease(2))
	s.kill()
	other.eventually(t, taken, store.Interrupted)
	c := longLease(2)
	c.Once = true
	if r, won, err := other.Claim(t.Context(), c); err != nil || won || r.State != store.Interrupted {
		t.Errorf("a claim with Once of what a dead owner had begun: %+v, won %v, error %v", r, won, err)
	}
	if next := win(t, other, longLease(1)); next.Token != taken.Token+1 {
		t.Errorf("the takeover of token %d has %d", taken.Token, next.Token)
	}
}

// A process that was paused is taken for dead. What was taken over it has lost; the rest
// it has still.
func TestPausedOwnerIsFenced(t *testing.T) {
	t.Parallel()
	server, prefix := sharedServer(t)
	s, other := open(t, server.URL(), Options{Prefix: prefix}), open(t, server.URL(), Options{Prefix: prefix})
	taken, left := win(t, s, longLease(1)), win(t, s, longLease(2))
	s.owners.stop()
	other.eventually(t, taken, store.Interrupted)
	next := win(t, other, longLease(1))
	s.owners.start()
	other.eventually(t, left, store.InProgress)
	if err := s.Complete(t.Context(), taken.Key, taken.Token, done, time.Hour); !errors.Is(err, store.ErrStale) {
		t.Errorf("Complete by an owner that was replaced: %v; want ErrStale", err)
	}
	complete(t, other, next)
	complete(t, s, left)
}

// Nobody is dead because Redis did not answer for a while.
func TestFrozenRedisKillsNobody(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	s, other := open(t, server.URL(), Options{}), open(t, server.URL(), Options{})
	r := win(t, s, longLease(1))
	for _, interrupt := range []func(){
		func() {
			if err := server.Freeze(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * deadAfter)
			if err := server.Thaw(); err != nil {
				t.Fatal(err)
			}
		},
		func() {
			server.Kill()
			time.Sleep(2 * deadAfter)
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		interrupt()
		// Both have said that they are alive, several times, after this.
		for until := time.Now().Add(2 * deadAfter); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
			got, err := other.Get(t.Context(), r.Key)
			if err == nil && got.State != store.InProgress {
				t.Fatalf("a call whose owner lives is %v after Redis was away", got.State)
			}
		}
	}
	complete(t, s, r)
}

func TestWaitEndsWithTheCall(t *testing.T) {
	t.Parallel()
	server, prefix := sharedServer(t)
	s, other := open(t, server.URL(), Options{Prefix: prefix}), open(t, server.URL(), Options{Prefix: prefix})
	const each = 50
	var records []store.Record
	waits := make(chan error, 2*each)
	for n := range int64(each) {
		r := win(t, s, longLease(n))
		records = append(records, r)
		for range 2 {
			go func() { waits <- other.Wait(t.Context(), r.Key, r.Token) }()
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 4*lookEvery)
	defer cancel()
	if err := other.Wait(short, records[0].Key, records[0].Token); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait for a call in progress: %v; want its context's end", err)
	}
	if len(waits) > 0 {
		t.Errorf("%d waits ended before their calls", len(waits))
	}
	for i, r := range records {
		if i == each/2 {
			break
		}
		complete(t, s, r)
	}
	for range each {
		if err := <-waits; err != nil {
			t.Errorf("Wait for a call that has ended: %v", err)
		}
	}
	s.kill()
	for range each {
		if err := <-waits; err != nil {
			t.Errorf("Wait for a call whose owner has died: %v", err)
		}
	}
	for what, token := range map[string]uint64{"another token": records[0].Token + 1, "no token": 0} {
		if err := other.Wait(t.Context(), records[0].Key, token); err != nil {
			t.Errorf("Wait with %s: %v", what, err)
		}
	}
	mine := win(t, other, longLease(each))
	go func() { waits <- other.Wait(t.Context(), mine.Key, mine.Token) }()
	patience.Eventually(t, "it waits", func() bool {
		other.watch.mu.Lock()
		defer other.watch.mu.Unlock()
		return len(other.watch.waiters) > 0
	})
	_ = other.Close()
	if err := <-waits; !errors.Is(err, store.ErrClosed) {
		t.Errorf("Wait while the store is closed: %v; want ErrClosed", err)
	}
}

// The application may use all connections of its client for itself.
func TestOwnerLivesThoughAllConnectionsAreInUse(t *testing.T) {
	t.Parallel()
	server, prefix := sharedServer(t)
	client := server.client()
	o := *client.Options()
	_ = client.Close()
	o.PoolSize = 3
	client = redis.NewClient(&o)
	s := openWith(t, client, Options{Prefix: prefix})
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range o.PoolSize {
		conn := client.Conn()
		if err := conn.Ping(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			<-ctx.Done()
			_ = conn.Close()
		})
	}
	defer group.Wait()
	defer cancel()
	count := func() int {
		n, err := strconv.Atoi(server.do(t, "hget "+s.keys.owners+" "+s.owner))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first := count()
	patience.Eventually(t, "the owner goes on saying that it is alive", func() bool { return count() > first+5 })
}

// An owner that was taken for dead, and does not know it, owns what it claims.
func TestClaimOfAnOwnerThatWasTakenForDeadIsItsOwn(t *testing.T) {
	t.Parallel()
	server, prefix := sharedServer(t)
	s, other := open(t, server.URL(), Options{Prefix: prefix}), open(t, server.URL(), Options{Prefix: prefix})
	first := win(t, s, longLease(1))
	s.owners.stop()
	defer s.owners.start()
	other.owners.stop() // it judges no more
	defer other.owners.start()
	server.do(t, "hdel "+s.keys.owners+" "+s.owner)
	other.eventually(t, first, store.Interrupted)
	win(t, s, longLease(2))
	if r, won, err := other.Claim(t.Context(), longLease(2)); err != nil || won || r.State != store.InProgress {
		t.Errorf("another's claim of it: won %v, state %v, error %v; want it in progress", won, r.State, err)
	}
}
