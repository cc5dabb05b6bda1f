package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
)

// RunTransactional judges what a store.Transactional has beyond a store.Store; Run
// judges the rest. Open must return a store.Transactional[Tx]. put sets a value of an
// application's own within a transaction, get returns it, or nil if there is none.
func RunTransactional[Tx any](
	t *testing.T, open Open, put func(tx Tx, key, value []byte) error, get func(tx Tx, key []byte) ([]byte, error),
) {
	t.Helper()
	for _, g := range []struct {
		name     string
		run      func(*application[Tx])
		sentence string
	}{
		{"CommitsBoth", (*application[Tx]).commitsBoth,
			"Transact calls fn in a transaction that also completes the record. Either both are committed or neither."},
		{"RollsBackBoth", (*application[Tx]).rollsBackBoth,
			"If fn fails, the transaction is rolled back and its error returned as it is, and the record is in progress still. A panic is propagated."},
		{"StaleNeverRuns", (*application[Tx]).staleNeverRuns,
			"ErrStale if the token is not that of the record's owner, before fn is called."},
		{"OneTokenRace", (*application[Tx]).oneTokenRace,
			"fn is called at most once with effect."},
		{"Neighbours", (*application[Tx]).neighbours,
			"Transactions that are committed together are rolled back together if one of them fails, and the others run again."},
		{"ContextEndsInside", (*application[Tx]).contextEndsInside,
			"A method whose ctx ends before its change was begun has changed nothing; one whose change was under way may return after it."},
		{"CloseUnderWork", (*application[Tx]).closeUnderWork,
			"Close ends all that is under way, and then answers ErrClosed."},
	} {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("what the contract says: %s", g.sentence)
				}
			})
			g.run(&application[Tx]{env: newEnv(t, open, Features{}, Options{}), put: put, get: get})
		})
	}
}

// application is a user of a store who keeps values beside the records.
type application[Tx any] struct {
	*env
	put func(tx Tx, key, value []byte) error
	get func(tx Tx, key []byte) ([]byte, error)
}

func (a *application[Tx]) transact(ctx context.Context, r store.Record, fn func(tx Tx) (store.Result, error)) error {
	s, ok := a.store.(store.Transactional[Tx])
	if !ok {
		return fmt.Errorf("%T is not a store.Transactional of that type of transaction", a.store)
	}
	return s.Transact(ctx, r.Key, r.Token, retention, fn)
}

// read returns a value by way of a call of its own.
func (a *application[Tx]) read(key string) (value []byte) {
	a.Helper()
	err := a.transact(a.ctx, a.win(claimOf(a.env.key())), func(tx Tx) (store.Result, error) {
		v, err := a.get(tx, []byte(key))
		value = bytes.Clone(v)
		return store.Result{State: store.Completed}, err
	})
	if err != nil {
		a.Fatalf("a transaction that reads: %v", err)
	}
	return value
}

// setting returns an application's function that sets the value and ends so.
func (a *application[Tx]) setting(key, value string, state store.State, err error) func(tx Tx) (store.Result, error) {
	return func(tx Tx) (store.Result, error) {
		if err := a.put(tx, []byte(key), []byte(value)); err != nil {
			return store.Result{}, err
		}
		return store.Result{State: state, Payload: []byte(value)}, err
	}
}

func (a *application[Tx]) commitsBoth() {
	for _, state := range []store.State{store.Completed, store.Failed, store.Parked} {
		r := a.win(claimOf(a.key()))
		value := "set with " + state.String()
		a.clock.move(time.Second)
		if err := a.transact(a.ctx, r, a.setting(state.String(), value, state, nil)); err != nil {
			a.Fatalf("Transact: %v", err)
		}
		got := a.env.get(r.Key)
		if got.State != state || string(got.Payload) != value || !got.Retained || got.Size != len(value) ||
			!near(got.Expires, a.clock.Now().Add(retention)) || !near(got.Updated, a.clock.Now()) {
			a.Errorf("the record of a transaction that ended as %v: %+v", state, got)
		}
		a.replaced(r)
		if v := a.read(state.String()); string(v) != value {
			a.Errorf("a transaction set %q; the value is %q", value, v)
		}
		a.reopen()
		a.unchanged(got, "closing and opening")
		if v := a.read(state.String()); string(v) != value {
			a.Errorf("a transaction set %q; after closing and opening the value is %q", value, v)
		}
	}
}

// ending runs f and tells how it ended: by an error, a panic, or with its goroutine.
func ending(f func() error) (err error, panicked any, exited bool) { //nolint:revive,staticcheck // three ways to end, the usual one first
	done := make(chan struct{})
	exited = true
	go func() {
		defer close(done)
		defer func() {
			if panicked = recover(); panicked != nil {
				exited = false
			}
		}()
		err = f()
		exited = false
	}()
	<-done
	return err, panicked, exited
}

func (a *application[Tx]) rollsBackBoth() {
	refusal := errors.New("the application refuses")
	const crash = "the application panics"
	r := a.win(claimOf(a.key()))
	key := "rolled back"
	check := func(what string) {
		a.Helper()
		a.unchanged(r, what)
		if v := a.read(key); v != nil {
			a.Errorf("%s has left the value %q", what, v)
		}
	}
	for range 2 {
		if err := a.transact(a.ctx, r, a.setting(key, "x", store.Completed, refusal)); err != refusal { //nolint:errorlint // as it is
			a.Errorf("an error of the application came back as %v", err)
		}
		check("a transaction that failed")
		for _, state := range []store.State{store.Absent, store.InProgress, store.Interrupted, store.Tombstone, 99} {
			if err := a.transact(a.ctx, r, a.setting(key, "x", state, nil)); err == nil {
				a.Errorf("an end as %v was accepted", state)
			}
			check("a transaction with the end " + state.String())
		}
		after := func(f func()) func() error {
			return func() error {
				return a.transact(a.ctx, r, func(tx Tx) (store.Result, error) {
					if err := a.put(tx, []byte(key), []byte("x")); err != nil {
						return store.Result{}, err
					}
					f()
					return store.Result{State: store.Completed}, nil
				})
			}
		}
		err, panicked, exited := ending(after(func() { panic(crash) }))
		if !strings.Contains(fmt.Sprint(panicked), crash) {
			a.Errorf("a panic came back as error %v, panic %v, end of the goroutine %v", err, panicked, exited)
		}
		check("a transaction that panicked")
		if err, panicked, exited = ending(after(runtime.Goexit)); err == nil && panicked == nil && !exited {
			a.Errorf("a transaction that ended its goroutine was confirmed")
		}
		check("a transaction that ended its goroutine")
	}
	if err := a.transact(a.ctx, r, a.setting(key, "at last", store.Completed, nil)); err != nil {
		a.Fatalf("Transact: %v", err)
	}
	if v := a.read(key); string(v) != "at last" {
		a.Errorf("after others were rolled back, a transaction set %q", v)
	}
}

func (a *application[Tx]) staleNeverRuns() {
	canceled, cancel := context.WithCancel(a.ctx)
	cancel()
	called := func(tx Tx) (store.Result, error) {
		a.Errorf("the application was called")
		return a.setting("stale", "x", store.Completed, nil)(tx)
	}
	mine := a.win(claimOf(a.key()))
	if err := a.transact(canceled, mine, called); !errors.Is(err, context.Canceled) {
		a.Errorf("with a context that had ended: %v", err)
	}
	wrong := mine
	for _, wrong.Token = range []uint64{0, mine.Token + 1, 1 << 63} {
		a.stale(a.transact(a.ctx, wrong, called), "Transact with token %d, not %d", wrong.Token, mine.Token)
	}
	a.unchanged(mine, "a transaction with a wrong token")
	for state, r := range a.everyState() {
		if state != store.InProgress {
			a.stale(a.transact(a.ctx, r, called), "Transact of what is %v", state)
			a.unchanged(r, "a transaction with a wrong token")
		}
	}
	a.stale(a.transact(a.ctx, store.Record{Key: a.key(), Token: 1}, called), "Transact of what is absent")
	old := a.win(claimOf(a.key()))
	a.abandon(old)
	a.win(claimOf(old.Key))
	a.stale(a.transact(a.ctx, old, called), "Transact of what was taken over")
	if v := a.read("stale"); v != nil {
		a.Errorf("transactions with wrong tokens have left the value %q", v)
	}
}

// add adds one to a counter, and ends with its value.
func (a *application[Tx]) add(tx Tx, counter string) (store.Result, error) {
	value, err := a.get(tx, []byte(counter))
	if err != nil {
		return store.Result{}, err
	}
	n := 0
	if value != nil {
		if n, err = strconv.Atoi(string(value)); err != nil {
			return store.Result{}, err
		}
	}
	value = strconv.AppendInt(nil, int64(n+1), 10)
	return store.Result{State: store.Completed, Payload: value}, a.put(tx, []byte(counter), value)
}

func (a *application[Tx]) oneTokenRace() {
	const rounds = 5
	for round := range rounds {
		r := a.win(claimOf(a.key()))
		var committed atomic.Int32
		race(8, func(int) {
			err := a.transact(a.ctx, r, func(tx Tx) (store.Result, error) { return a.add(tx, "counter") })
			if err == nil {
				committed.Add(1)
				return
			}
			a.stale(err, "a transaction that lost")
		})
		if got := a.read("counter"); committed.Load() != 1 || string(got) != strconv.Itoa(round+1) {
			a.Errorf("in round %d, %d transactions with one token were confirmed, and the counter is %q", round+1, committed.Load(), got)
		}
	}
}

// neighbours has many add to one counter, while as many fail in every way there is.
func (a *application[Tx]) neighbours() {
	const callers, rounds = 24, 4
	var mu sync.Mutex
	seen := make(map[string]bool)
	var successes atomic.Int32
	race(callers, func(i int) {
		for range rounds {
			c := claimOf(a.key())
			r, won, err := a.store.Claim(a.ctx, c)
			if err != nil || !won {
				a.Errorf("a claim beside transactions: won %v, error %v", won, err)
				return
			}
			fails := i % 8 // half of them do not
			err, panicked, exited := ending(func() error {
				return a.transact(a.ctx, r, func(tx Tx) (store.Result, error) {
					result, err := a.add(tx, "counter")
					switch fails {
					case 1:
						return result, errors.New("a neighbour fails")
					case 3:
						panic("a neighbour panics")
					case 5:
						runtime.Goexit()
					case 7:
						result.State = store.InProgress
					}
					return result, err
				})
			})
			got, failed := a.store.Get(a.ctx, r.Key)
			if failed != nil {
				a.Errorf("a Get beside transactions: %v", failed)
				return
			}
			ok := err == nil && panicked == nil && !exited
			if ok != (fails%2 == 0) {
				a.Errorf("a transaction of kind %d ended with error %v, panic %v, end of the goroutine %v", fails, err, panicked, exited)
			}
			if !ok {
				if d := difference(r, got); d != "" {
					a.Errorf("a transaction that failed changed its record:%s", d)
				}
				continue
			}
			successes.Add(1)
			mu.Lock()
			if again := seen[string(got.Payload)]; again || got.State != store.Completed {
				a.Errorf("a transaction was confirmed, and its record is %v; another has the same end: %v", brief(got), again)
			}
			seen[string(got.Payload)] = true
			mu.Unlock()
		}
	})
	if got := a.read("counter"); string(got) != strconv.Itoa(int(successes.Load())) {
		a.Errorf("%d transactions that add 1 were confirmed, and the counter is %q", successes.Load(), got)
	}
}

// atWork begins a transaction and returns when the application has been called. It
// goes on when release is closed; its error comes from ended.
func (a *application[Tx]) atWork(r store.Record) (release chan struct{}, ended chan error) {
	release, ended = make(chan struct{}), make(chan error, 1)
	called := make(chan struct{})
	var once sync.Once
	go func() {
		ended <- a.transact(a.ctx, r, func(tx Tx) (store.Result, error) {
			once.Do(func() { close(called) })
			<-release
			return a.setting("work", "done", store.Completed, nil)(tx)
		})
	}()
	select {
	case <-called:
	case err := <-ended:
		ended <- err
	}
	return release, ended
}

func (a *application[Tx]) contextEndsInside() {
	r := a.win(claimOf(a.key()))
	release, ended := a.atWork(r)
	ctx, cancel := context.WithCancel(a.ctx)
	c := claimOf(a.key())
	answer := make(chan error, 1)
	go func() {
		_, _, err := a.store.Claim(ctx, c)
		answer <- err
	}()
	time.AfterFunc(20*time.Millisecond, cancel)
	time.AfterFunc(60*time.Millisecond, func() { close(release) })
	err := <-answer
	if err := <-ended; err != nil {
		a.Fatalf("Transact: %v", err)
	}
	switch got := a.env.get(c.Key); {
	case err == nil && got.State == store.InProgress:
	case errors.Is(err, context.Canceled) && got.State == store.Absent:
	default:
		a.Errorf("a claim whose context ended while it waited: error %v, and the record is %v", err, brief(got))
	}
}

func (a *application[Tx]) closeUnderWork() {
	r := a.win(claimOf(a.key()))
	release, ended := a.atWork(r)
	begun, closed := make(chan struct{}), make(chan error, 1)
	go func() {
		close(begun)
		closed <- a.store.Close()
	}()
	<-begun
	time.AfterFunc(20*time.Millisecond, func() { close(release) })
	if err := <-closed; err != nil {
		a.Errorf("Close: %v", err)
	}
	err := <-ended
	a.store = a.another()
	got, value := a.env.get(r.Key), a.read("work")
	switch {
	case err == nil && got.State == store.Completed && string(value) == "done":
	case errors.Is(err, store.ErrClosed) && got.State != store.Completed && value == nil:
	default:
		a.Errorf("a transaction that Close ended: error %v, the record is %v, the value %q", err, brief(got), value)
	}
}
