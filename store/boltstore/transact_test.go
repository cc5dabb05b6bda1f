package boltstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/patience"
)

// effect writes a key of the application.
func effect(tx *bbolt.Tx, key store.Key) error {
	b, err := tx.CreateBucketIfNotExists(effects)
	if err != nil {
		return err
	}
	return b.Put(key[:], []byte("done"))
}

func hasEffect(t testing.TB, s *Store, key store.Key) (has bool) {
	t.Helper()
	err := s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(effects)
		has = b != nil && b.Get(key[:]) != nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return has
}

// hold stops the store's commits until the function that it returns is called, so
// that what comes meanwhile is committed as one.
func hold(t testing.TB, s *Store) (release func()) {
	t.Helper()
	r := must(t, s, store.Scope{CallID: fmt.Sprint("hold", time.Now().UnixNano())}.Key())
	held, free, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.Transact(context.Background(), r.Key, r.Token, time.Hour, func(*bbolt.Tx) (store.Result, error) {
			close(held)
			<-free
			return done, nil
		})
	}()
	<-held
	return func() {
		close(free)
		if err := <-ended; err != nil {
			t.Errorf("what held the store: %v", err)
		}
	}
}

func waiting(s *Store) int { return s.queue.length() }

var errOwn = errors.New("no stock left")

// Of functions that share a commit, those that fail, panic, end their goroutine or
// misuse the transaction fail alone.
func TestFunctionsThatFailDoSoAlone(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), Options{})
	ends := map[string]func(tx *bbolt.Tx) (store.Result, error){
		"good":   func(*bbolt.Tx) (store.Result, error) { return done, nil },
		"fails":  func(*bbolt.Tx) (store.Result, error) { return done, errOwn },
		"panics": func(*bbolt.Tx) (store.Result, error) { panic("out of order") },
		"nil":    func(*bbolt.Tx) (store.Result, error) { panic(error(nil)) }, //nolint:govet // that is the case
		"leaves": func(*bbolt.Tx) (store.Result, error) { runtime.Goexit(); return done, nil },
		"commits": func(tx *bbolt.Tx) (store.Result, error) {
			return done, tx.Commit()
		},
		"rolls back": func(tx *bbolt.Tx) (store.Result, error) { return done, tx.Rollback() },
		"no end":     func(*bbolt.Tx) (store.Result, error) { return store.Result{State: store.InProgress}, nil },
		"deletes":    func(tx *bbolt.Tx) (store.Result, error) { return done, tx.DeleteBucket(bucketKey) },
		"replaces": func(tx *bbolt.Tx) (store.Result, error) {
			if err := tx.DeleteBucket(recordsKey); err != nil {
				return done, err
			}
			_, err := tx.CreateBucket(recordsKey)
			return done, err
		},
	}
	want := map[string]string{
		"good": "", "fails": errOwn.Error(), "panics": "panic: out of order", "nil": "panic: panic called with nil argument",
		"leaves": "left", "commits": "panic: assertion failed: managed tx commit not allowed",
		"rolls back": "panic: assertion failed: managed tx rollback not allowed", "no end": "cannot end as in_progress",
		"deletes": "which is the store's", "replaces": "which is the store's",
	}
	type part struct {
		name   string
		record store.Record
		got    string
	}
	var parts []*part
	for round := range 3 {
		for name := range ends {
			parts = append(parts, &part{name: name, record: must(t, s, store.Scope{Method: name, CallID: fmt.Sprint(round)}.Key())})
		}
	}
	release := hold(t, s)
	var group sync.WaitGroup
	for _, p := range parts {
		group.Go(func() {
			p.got = outcome(s, p.record, ends[p.name])
		})
	}
	patience.Eventually(t, "all are in the queue", func() bool { return waiting(s) == len(parts) })
	release()
	group.Wait()
	for _, p := range parts {
		good := p.name == "good"
		if !strings.Contains(p.got, want[p.name]) || good != (p.got == "") {
			t.Errorf("%s: %q; want %q", p.name, p.got, want[p.name])
		}
		state := stateOf(t, s, p.record.Key)
		if has := hasEffect(t, s, p.record.Key); has != good || good != (state == store.Completed) || !good && state != store.InProgress {
			t.Errorf("%s: its effect is there: %v; its record is %v", p.name, has, state)
		}
	}
}

// outcome runs a Transact on a goroutine of its own, and tells how it ended.
func outcome(s *Store, r store.Record, end func(*bbolt.Tx) (store.Result, error)) string {
	got := make(chan string, 1)
	go func() {
		how := "left"
		defer func() {
			if p := recover(); p != nil {
				how = fmt.Sprint("panic: ", p)
			}
			got <- how
		}()
		err := s.Transact(context.Background(), r.Key, r.Token, time.Hour, func(tx *bbolt.Tx) (store.Result, error) {
			if err := effect(tx, r.Key); err != nil {
				return store.Result{}, err
			}
			return end(tx)
		})
		how = ""
		if err != nil {
			how = err.Error()
		}
	}()
	return <-got
}

func TestFunctionIsNotCalledForAStaleToken(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), Options{})
	r := must(t, s, numbered(1))
	err := s.Transact(t.Context(), r.Key, r.Token+1, time.Hour, func(*bbolt.Tx) (store.Result, error) {
		t.Error("called")
		return done, nil
	})
	if !errors.Is(err, store.ErrStale) {
		t.Errorf("Transact with another token: %v", err)
	}
}

func TestFunctionIsNotCalledOnceItsContextHasEnded(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), Options{})
	r := must(t, s, numbered(1))
	release := hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Transact(ctx, r.Key, r.Token, time.Hour, func(*bbolt.Tx) (store.Result, error) {
			t.Error("called")
			return done, nil
		})
	}()
	patience.Eventually(t, "it is in the queue", func() bool { return waiting(s) == 1 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Transact: %v", err)
	}
	release()
	if state := stateOf(t, s, r.Key); state != store.InProgress {
		t.Errorf("the record is %v", state)
	}
}

// A commit handler of the application that panics does so after the commit: the
// store tells its callers so, and works on.
func TestPanicOfACommitHandlerDoesNotStopTheStore(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), Options{})
	r := must(t, s, numbered(1))
	err := s.Transact(t.Context(), r.Key, r.Token, time.Hour, func(tx *bbolt.Tx) (store.Result, error) {
		tx.OnCommit(func() { panic("too late") })
		return done, nil
	})
	if err != nil || stateOf(t, s, r.Key) != store.Completed {
		t.Errorf("Transact: %v", err)
	}
	complete(t, s, must(t, s, numbered(2)))
}

// However many fail, each call that shares the commits is run to its end.
func TestManyFailuresAmongManyFunctions(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), Options{})
	var failed, completed atomic.Int32
	var group sync.WaitGroup
	for i := range 200 {
		r := must(t, s, numbered(i))
		group.Go(func() {
			err := s.Transact(context.Background(), r.Key, r.Token, time.Hour, func(tx *bbolt.Tx) (store.Result, error) {
				if i%2 == 0 {
					return done, errOwn
				}
				return done, effect(tx, r.Key)
			})
			switch {
			case err == nil && i%2 == 1:
				completed.Add(1)
			case errors.Is(err, errOwn) && i%2 == 0:
				failed.Add(1)
			default:
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	group.Wait()
	stats, err := s.Stats(t.Context())
	if err != nil || stats.Records[store.Completed] != 100 || stats.Records[store.InProgress] != 100 {
		t.Errorf("%d completed, %d failed; Stats has %v, error %v", completed.Load(), failed.Load(), stats.Records, err)
	}
}
