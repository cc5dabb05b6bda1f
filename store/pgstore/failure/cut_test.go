package failure

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/pgstore"
	"github.com/warren-rpc/warren/test/chaos/proxy"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/postgres"
)

// cutting is a store whose connections are cut, and others on the same tables whose connections are not.
type cutting struct {
	tap    tap
	store  *pgstore.Store
	others *pgstore.Store
	later  *pgstore.Store // an hour later, when leases are over
	pool   *pgxpool.Pool  // of the others
}

func newCutting(t *testing.T, o pgstore.Options) *cutting {
	t.Helper()
	url := database(t)
	c := &cutting{pool: connect(t, url)}
	c.others = open(t, c.pool, pgstore.Options{})
	c.later = open(t, c.pool, pgstore.Options{Now: func() time.Time { return time.Now().Add(time.Hour) }})
	if !o.NoSession {
		c.tap.spare = 2 // Open looks at the tables first, with a connection of the pool
	}
	c.store = open(t, connect(t, url, c.tap.into), o)
	return c
}

// everywhere calls step with the connection cut at each of its messages in turn, before the database has it and after
// it has answered, and checks what step's error is and what has become of the call.
func (c *cutting) everywhere(t *testing.T, prepare bool, step func(r store.Record) error, check func(t *testing.T, id string, r store.Record, err error)) {
	t.Helper()
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			id := fmt.Sprintf("%s %d %v", t.Name(), n, after)
			r := store.Record{CallID: id}
			if prepare {
				r = begun(t, c.store, id)
			}
			c.tap.cutAt(n, after)
			err := step(r)
			cut := c.tap.disarm()
			if e := (*store.UnavailableError)(nil); err != nil && !errors.As(err, &e) {
				t.Errorf("%s: error %v, want an UnavailableError", id, err)
			}
			if err != nil && !cut {
				t.Errorf("%s: error %v although nothing was cut", id, err)
			}
			check(t, id, r, err)
			if t.Failed() {
				t.Fatalf("at message %d, answered: %v", n, after)
			}
			if !cut {
				if n < 2 {
					t.Error("no message was cut")
				}
				break
			}
		}
	}
}

func TestConnectionLostAtAnyMessage(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]pgstore.Options{"with a session": {}, "without": {NoSession: true}} {
		c := newCutting(t, o)
		t.Run(name+"/claim", func(t *testing.T) { c.claim(t) })
		t.Run(name+"/renew", func(t *testing.T) { c.renew(t) })
		t.Run(name+"/complete", func(t *testing.T) { c.complete(t) })
		t.Run(name+"/abandon", func(t *testing.T) { c.abandon(t) })
		t.Run(name+"/transact", func(t *testing.T) { c.transact(t) })
		works(t, c.store, c.pool, "after all cuts")
	}
}

// A claim whose commit is unknown counts as an attempt that was begun, if it was made, and is no obstacle if it was not.
func (c *cutting) claim(t *testing.T) {
	var won bool
	c.everywhere(t, false, func(r store.Record) (err error) {
		_, won, err = c.store.Claim(t.Context(), claimOf(r.CallID))
		return err
	}, func(t *testing.T, id string, _ store.Record, err error) {
		r := get(t, c.others, id)
		if err == nil && (!won || r.State != store.InProgress) {
			t.Errorf("won %v, and it is %v", won, r.State)
		}
		made := r.State == store.InProgress
		once := claimOf(id)
		once.Once = true
		if _, won, err := c.later.Claim(t.Context(), once); err != nil || won == made {
			t.Errorf("made %v: at most once, the next claim won %v, %v", made, won, err)
		}
		if made {
			if r, won, err := c.later.Claim(t.Context(), claimOf(id)); err != nil || !won || r.Attempts != 2 {
				t.Errorf("the next claim won %v with %d attempts, %v", won, r.Attempts, err)
			}
		}
	})
}

func (c *cutting) renew(t *testing.T) {
	c.everywhere(t, true, func(r store.Record) error {
		return c.store.Renew(t.Context(), r.Key, r.Token, time.Minute)
	}, func(t *testing.T, id string, r store.Record, err error) {
		now := get(t, c.others, id)
		if now.State != store.InProgress || now.Token != r.Token || err == nil && !now.Lease.After(r.Lease) {
			t.Errorf("it is %v, with token %d and lease %v", now.State, now.Token, now.Lease)
		}
	})
}

func (c *cutting) complete(t *testing.T) {
	c.everywhere(t, true, func(r store.Record) error { return finish(t.Context(), c.store, r) }, func(t *testing.T, id string, r store.Record, err error) {
		completed := get(t, c.others, id).State == store.Completed
		if err == nil && !completed {
			t.Error("a completion was confirmed that was not made")
		}
		if err != nil {
			again := c.others.Complete(t.Context(), r.Key, r.Token, resultOf(id), 24*time.Hour)
			if completed != errors.Is(again, store.ErrStale) || !completed && again != nil {
				t.Errorf("completed %v, and once more: %v", completed, again)
			}
		}
		if now := get(t, c.later, id); now.State != store.Completed {
			t.Errorf("in the end it is %v", now.State)
		}
	})
}

func (c *cutting) abandon(t *testing.T) {
	c.everywhere(t, true, func(r store.Record) error {
		return c.store.Abandon(t.Context(), r.Key, r.Token, store.Undone)
	}, func(t *testing.T, id string, _ store.Record, err error) {
		if now := get(t, c.others, id); now.State != store.Absent && (err == nil || now.State != store.InProgress) {
			t.Errorf("it is %v after %v", now.State, err)
		}
	})
}

// Whether a transaction was committed is found out: the error is nil if it was, and there is one effect.
func (c *cutting) transact(t *testing.T) {
	c.everywhere(t, true, func(r store.Record) error { return transact(t.Context(), c.store, r) }, func(t *testing.T, id string, _ store.Record, err error) {
		completed, n := get(t, c.others, id).State == store.Completed, effects(t, c.pool, id)
		if completed != (err == nil) || completed != (n == 1) {
			t.Errorf("error %v, completed %v, %d effects", err, completed, n)
		}
	})
}

// A commit that the database still makes is waited for, and not taken for one that was not made. One whose session has ended
// before the standby had it is not told before the standby has it.
func TestConnectionLostWhileTheDatabaseCommits(t *testing.T) {
	t.Parallel()
	pair := postgres.NewPair(t, postgres.Options{})
	migrate(t, pair.Primary().URL(""))
	pool := connect(t, pair.Primary().URL(""))
	network, err := proxy.New(pair.Primary().Addr(), proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer network.Close()
	s := open(t, connect(t, network.URL(pair.Primary().URL(""))), pgstore.Options{Timeout: patience.Soon, NoSession: true})
	const waiting = " FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'client backend'"
	for name, lose := range map[string]func(){
		"cut": func() { network.Cut(proxy.RST) },
		"terminated": func() {
			if _, err := pair.Primary().Exec(t.Context(), "SELECT pg_terminate_backend(pid)"+waiting); err != nil {
				t.Error(err)
			}
		},
	} {
		r := begun(t, s, name)
		if err := pair.Standby().Freeze(); err != nil {
			t.Fatal(err)
		}
		answer := make(chan error, 1)
		go func() { answer <- transact(t.Context(), s, r) }()
		patience.Eventually(t, "the commit waits for the standby", func() bool {
			out, err := pair.Primary().Exec(t.Context(), "SELECT count(*)"+waiting)
			return err == nil && out == "1"
		})
		lose()
		select {
		case err := <-answer:
			t.Fatalf("%s: %v is told while the standby does not have it", name, err)
		case <-time.After(500 * time.Millisecond):
		}
		if err := pair.Standby().Thaw(); err != nil {
			t.Fatal(err)
		}
		if err := <-answer; err != nil {
			t.Errorf("%s: the commit was made, and told as %v", name, err)
		}
		if n := effects(t, pool, name); n != 1 {
			t.Errorf("%s: %d effects", name, n)
		}
	}
}
