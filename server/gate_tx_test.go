package server_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

func effects(r *rig.Rig, st *testStore) int {
	r.T.Helper()
	value, err := st.Value(r.T.Context(), "runs")
	if err != nil {
		r.T.Fatal(err)
	}
	return len(value)
}

func TestCommitThatFailsIsMadeAgainWithOneEffect(t *testing.T) {
	for name, c := range map[string]struct {
		op            string
		before, after bool
		runs          int32
		told          string
	}{
		"rolled back":              {"commit", true, false, 4, "4"},
		"made, and nobody said so": {"transact", false, true, 1, "1, replayed"},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				st := alone(r, memstore.Options{})
				if c.before {
					st.fail(c.op, times(3, outage), nil)
				} else {
					st.fail(c.op, nil, times(1, outage))
				}
				var runs atomic.Int32
				serve(r, st, in(server.Transactional), counting(&runs))
				want(r, "told", ask(r, "k", "x"), c.told)
				want(r, "again", ask(r, "k", "x"), strings.TrimSuffix(c.told, ", replayed")+", replayed")
				if runs.Load() != c.runs || effects(r, st) != 1 {
					r.T.Errorf("%d runs, %d effects", runs.Load(), effects(r, st))
				}
			})
		})
	}
}

func TestLateTransactionIsRolledBack(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data memstore.Data
		st := shared(r, &data)
		g := rig.NewGate()
		atWork(st, g)
		cutOff(st)
		var runs atomic.Int32
		serve(r, st, in(server.Transactional), counting(&runs))
		call := asking(r, "k", "x")
		<-g.Entered
		time.Sleep(4 * time.Second)
		res, err := r.Client().Resolve(r.T.Context(), "m", "k", knows("x"))
		if err != nil || res.State != client.Canceled || res.Outcome != warren.NotExecuted {
			r.T.Fatalf("%+v, %v", res, err)
		}
		close(g.Release)
		want(r, "told", <-call, "canceled/, not_executed")
		if runs.Load() != 0 || effects(r, st) != 0 {
			r.T.Errorf("%d runs, %d effects", runs.Load(), effects(r, st))
		}
	})
}

func TestTransactionThatTheDeadlineOvertakesIsNotBegun(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		st.fail("transact", func(context.Context) error {
			time.Sleep(61 * time.Second)
			return nil
		}, nil)
		var runs atomic.Int32
		serve(r, st, in(server.Transactional), counting(&runs))
		p := r.Peer()
		p.Publish("m", raw(p, "k", "x"))
		time.Sleep(50 * time.Second)
		want(r, "told", toldRaw(r, p.Next()), "deadline_exceeded/expired, not_executed")
		if runs.Load() != 0 {
			r.T.Errorf("%d runs", runs.Load())
		}
		st.fail("transact", nil, nil)
		want(r, "the next attempt", ask(r, "k", "x"), "1")
	})
}

// The file store: its claims have no leases, and end with the one who had it open.

func openFile(t *testing.T, path string) *boltstore.Store {
	t.Helper()
	st, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

var ledger = []byte("ledger")

// deposit adds one to the balance of the transaction, and returns it.
func deposit(tx *bbolt.Tx) (string, error) {
	b, err := tx.CreateBucketIfNotExists(ledger)
	if err != nil {
		return "", err
	}
	balance := uint64(1)
	if v := b.Get(ledger); v != nil {
		balance += binary.BigEndian.Uint64(v)
	}
	return strings.Repeat("x", int(balance)), b.Put(ledger, binary.BigEndian.AppendUint64(nil, balance))
}

func TestTransactionsInAFileCommitWithTheirCalls(t *testing.T) {
	t.Parallel()
	r := rig.New(t, amqptest.Options{Listen: "none"})
	st := openFile(t, filepath.Join(t.TempDir(), "calls"))
	s := r.NewServer(stored(st))
	if err := server.HandleTx(s, server.Method{Name: "m"}, func(_ context.Context, tx *bbolt.Tx, how string) (string, error) {
		balance, err := deposit(tx)
		switch {
		case err != nil:
			return "", err
		case how == "terminal":
			return "", warren.Errorf(warren.CodeNotFound, "no")
		case how == "later":
			return "", warren.Errorf(warren.CodeUnavailable, "no")
		case how == "panic":
			panic(how)
		}
		return balance, nil
	}); err != nil {
		t.Fatal(err)
	}
	r.Start(s)
	for _, step := range []struct{ id, how, told string }{
		{"1", "well", `"x"`},
		{"1", "well", `"x", replayed`},
		{"2", "terminal", "not_found/, executed"},
		{"2", "terminal", "not_found/, executed, replayed"},
		{"3", "later", "unavailable/, not_executed"},
		{"3", "later", "unavailable/, not_executed"},
		{"4", "panic", "internal/panic, executed"},
		{"4", "panic", "internal/panic, executed, replayed"},
		{"4", "well", "already_exists/key_reused, not_executed"},
		{"5", "well", `"xx"`},
	} {
		want(r, step.id+", "+step.how, ask(r, step.id, `"`+step.how+`"`, client.WithContentType("application/json")), step.told)
	}
}

func TestCallOfAnEarlierOpeningOfTheFileIsTakenOverAtOnce(t *testing.T) {
	for _, mode := range recorded {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			r := rig.New(t, amqptest.Options{Listen: "none"})
			path := filepath.Join(t.TempDir(), "calls")
			m := in(mode)
			st := openFile(t, path)
			if _, won, err := st.Claim(t.Context(), store.Claim{
				Key: store.Scope{Method: "m", CallID: "k"}.Key(), Lease: time.Hour, Retention: time.Hour,
			}); err != nil || !won {
				t.Fatal(won, err)
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			st = openFile(t, path)
			s := r.NewServer(stored(st))
			var err error
			if mode == server.Transactional {
				err = server.HandleTx(s, m, func(_ context.Context, tx *bbolt.Tx, _ string) (string, error) { return deposit(tx) })
			} else {
				err = server.Handle(s, m, func(context.Context, string) (string, error) { return "x", nil })
			}
			if err != nil {
				t.Fatal(err)
			}
			r.Start(s)
			expected := `"x"`
			if mode == server.AtMostOnce {
				expected = "aborted/interrupted, unknown"
			}
			want(r, "told", ask(r, "k", `"y"`, client.WithContentType("application/json")), expected)
		})
	}
}

func TestClosingTheFileUnderAServerIsNeitherToldNorAcknowledged(t *testing.T) {
	t.Parallel()
	r := rig.New(t, amqptest.Options{Listen: "none"})
	path := filepath.Join(t.TempDir(), "calls")
	st := openFile(t, path)
	g := rig.NewGate()
	s := r.NewServer(stored(st))
	if err := s.HandleRaw(in(server.AtLeastOnce), g.Handle); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	call := asking(r, "k", "x", client.WaitForServer())
	<-g.Entered
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	close(g.Release)
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	var runs atomic.Int32
	other := r.NewServer(stored(openFile(t, path)))
	if err := other.HandleRaw(in(server.AtLeastOnce), counting(&runs)); err != nil {
		t.Fatal(err)
	}
	r.Start(other)
	want(r, "told", <-call, "1")
}

// swallowing is a store that makes an error of what its transactions panic with, as one
// in a file does of a page that cannot be read.
type swallowing struct{ *testStore }

func (s swallowing) Transact(
	ctx context.Context, key store.Key, token uint64, retention time.Duration, fn func(tx *memstore.Tx) (store.Result, error),
) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the file is damaged: %v", p)
		}
	}()
	return s.testStore.Transact(ctx, key, token, retention, fn)
}

// The handler has run, whatever the store makes of its panic.
func TestPanicThatTheStoreTakesForItsOwnIsRecorded(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st, log := alone(r, memstore.Options{}), &rig.Log{}
		s := r.NewServer(stored(swallowing{st}), func(cfg *server.Config) { cfg.Logger = log.Logger() })
		runs, m := 0, in(server.Transactional)
		m.Codec = warren.Raw
		if err := server.HandleTx(s, m, func(context.Context, *memstore.Tx, []byte) ([]byte, error) {
			runs++
			panic("unmapped")
		}); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		want(r, "the call", ask(r, "1", "x"), "internal/panic, executed")
		want(r, "again", ask(r, "1", "x"), "internal/panic, executed, replayed")
		if rec := recordOf(r, st, "1"); runs != 1 || rec.State != store.Failed {
			r.T.Errorf("%d runs, %+v", runs, rec)
		}
		if n := s.Stats().Panics; n != 1 || !strings.Contains(log.String(), "the file is damaged: unmapped") {
			r.T.Errorf("%d panics; the log is %s", n, log)
		}
	})
}
