package server_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

// recorded are the modes that keep records.
var recorded = []server.Mode{server.AtLeastOnce, server.AtMostOnce, server.Transactional}

// inEachMode runs the test in a bubble for each mode that keeps records.
func inEachMode(t *testing.T, test func(r *rig.Rig, mode server.Mode)) {
	t.Helper()
	for _, mode := range recorded {
		t.Run(mode.String(), func(t *testing.T) { rig.Bubble(t, func(r *rig.Rig) { test(r, mode) }) })
	}
}

// testStore is a store in memory that claims to be durable, and whose operations can be
// made to fail: before they are done, or after.
type testStore struct {
	*memstore.Store

	traits        store.Traits
	mu            sync.Mutex
	before, after map[string]func(ctx context.Context) error
}

func (f *testStore) Traits() store.Traits { return f.traits }

// fail has op fail by what the functions return, unless they return nil. Either may
// be nil.
func (f *testStore) fail(op string, before, after func(ctx context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before[op], f.after[op] = before, after
}

func (f *testStore) do(ctx context.Context, op string, do func() error) error {
	f.mu.Lock()
	before, after := f.before[op], f.after[op]
	f.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return err
		}
	}
	err := do()
	if err == nil && after != nil {
		err = after(ctx)
	}
	return err
}

func (f *testStore) Get(ctx context.Context, key store.Key) (rec store.Record, err error) {
	err = f.do(ctx, "get", func() error { rec, err = f.Store.Get(ctx, key); return err })
	return rec, err
}

func (f *testStore) Claim(ctx context.Context, c store.Claim) (rec store.Record, won bool, err error) {
	err = f.do(ctx, "claim", func() error { rec, won, err = f.Store.Claim(ctx, c); return err })
	return rec, won, err
}

func (f *testStore) Renew(ctx context.Context, key store.Key, token uint64, lease time.Duration) error {
	return f.do(ctx, "renew", func() error { return f.Store.Renew(ctx, key, token, lease) })
}

func (f *testStore) Complete(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
	return f.do(ctx, "complete", func() error { return f.Store.Complete(ctx, key, token, r, retention) })
}

func (f *testStore) Abandon(ctx context.Context, key store.Key, token uint64, end store.AttemptEnd) error {
	return f.do(ctx, "abandon", func() error { return f.Store.Abandon(ctx, key, token, end) })
}

func (f *testStore) Bury(ctx context.Context, b store.Claim) (before store.Record, err error) {
	err = f.do(ctx, "bury", func() error { before, err = f.Store.Bury(ctx, b); return err })
	return before, err
}

func (f *testStore) Transact(
	ctx context.Context, key store.Key, token uint64, retention time.Duration, fn func(tx *memstore.Tx) (store.Result, error),
) error {
	return f.do(ctx, "transact", func() error {
		return f.Store.Transact(ctx, key, token, retention, func(tx *memstore.Tx) (result store.Result, err error) {
			result, err = fn(tx)
			end := "commit"
			if err != nil {
				end = "rollback"
			}
			// It is rolled back if this fails.
			return result, cmp.Or(f.do(ctx, end, func() error { return nil }), err)
		})
	})
}

// Wait looks by the handle's own Get.
func (f *testStore) Wait(ctx context.Context, key store.Key, token uint64) error {
	for {
		rec, err := f.Get(ctx, key)
		if err != nil || rec.State != store.InProgress || rec.Token != token {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// times returns a function that returns err so many times, and nil after that.
func times(n int32, err error) func(context.Context) error {
	var left atomic.Int32
	left.Store(n)
	return func(context.Context) error {
		if left.Add(-1) >= 0 {
			return err
		}
		return nil
	}
}

// outage is what a store says whose storage is away.
var outage = &store.UnavailableError{Op: "test", Cause: errors.New("the disk is away")}

// alone opens a store that is one process's, and claims to be durable.
func alone(r *rig.Rig, o memstore.Options) *testStore {
	return openTestStore(r, memstore.New(o), store.Traits{Durable: true})
}

// shared opens a handle on data that others have too.
func shared(r *rig.Rig, d *memstore.Data) *testStore {
	return openTestStore(r, memstore.Open(d, memstore.Options{}), store.Traits{Durable: true, Shared: true})
}

// moved opens a handle on data that others have had: a file of one process's, which
// goes from one to the next.
func moved(r *rig.Rig, d *memstore.Data) *testStore {
	return openTestStore(r, memstore.Open(d, memstore.Options{}), store.Traits{Durable: true})
}

func openTestStore(r *rig.Rig, s *memstore.Store, traits store.Traits) *testStore {
	r.T.Cleanup(func() { _ = s.Close() })
	return &testStore{
		Store: s, traits: traits,
		before: make(map[string]func(context.Context) error), after: make(map[string]func(context.Context) error),
	}
}

// prepared returns a server that is not started, with the method in its mode. In a
// transaction the handler's runs that commit are counted by the value "runs".
func prepared(r *rig.Rig, s store.Store, m server.Method, h warren.Handler) *server.Server {
	r.T.Helper()
	srv := r.NewServer(stored(s))
	var err error
	if m.Dedupe.Mode == server.Transactional {
		m.Codec = warren.Raw
		err = server.HandleTx(srv, m, func(ctx context.Context, tx *memstore.Tx, _ []byte) ([]byte, error) {
			req := warren.RequestFromContext(ctx)
			tx.Put("runs", append(tx.Get("runs"), 'x'))
			reply, err := h(ctx, req)
			if err != nil || reply == nil {
				return nil, err
			}
			return reply.Body, nil
		})
	} else {
		err = srv.HandleRaw(m, h)
	}
	if err != nil {
		r.T.Fatal(err)
	}
	return srv
}

// serve starts what prepared returns. It ends with the test.
func serve(r *rig.Rig, s store.Store, m server.Method, h warren.Handler) *server.Server {
	r.T.Helper()
	return r.Start(prepared(r, s, m, h))
}

// mortal starts what prepared returns. The test ends it by itself.
func mortal(r *rig.Rig, s store.Store, m server.Method, h warren.Handler) *server.Server {
	r.T.Helper()
	srv := prepared(r, s, m, h)
	if err := srv.Start(r.T.Context()); err != nil {
		r.T.Fatal(err)
	}
	return srv
}

// in is the method m in that mode.
func in(mode server.Mode) server.Method {
	return server.Method{Name: "m", Dedupe: server.Dedupe{Mode: mode}}
}

// kill ends a server as its death does: its store hears no more of it, and the
// broker has its requests back.
func kill(s *server.Server, st *testStore) {
	_ = st.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Stop(ctx)
}

// recordOf returns the record of a Warren caller's call of m.
func recordOf(r *rig.Rig, s *testStore, callID string) store.Record {
	r.T.Helper()
	rec, err := s.Store.Get(r.T.Context(), store.Scope{Method: "m", CallID: callID}.Key())
	if err != nil {
		r.T.Fatal(err)
	}
	return rec
}

// ask makes one attempt of a call of m, by a client of its own, and says what came
// of it: see told.
func ask(r *rig.Rig, callID, body string, opts ...client.CallOption) string {
	r.T.Helper()
	opts = append([]client.CallOption{client.WithCallID(callID), client.WithAttempts(1), client.WithTimeout(time.Minute)}, opts...)
	return told(r.Client().Call(r.T.Context(), "m", []byte(body), opts...))
}

// asking makes the call of [ask] on a goroutine of its own.
func asking(r *rig.Rig, callID, body string, opts ...client.CallOption) <-chan string {
	r.T.Helper()
	c, end := r.Client(), make(chan string, 1)
	opts = append([]client.CallOption{client.WithCallID(callID), client.WithAttempts(1), client.WithTimeout(time.Minute)}, opts...)
	f := c.Go(r.T.Context(), "m", []byte(body), opts...)
	go func() { end <- told(f.Result()) }()
	return end
}

// told is what a caller is told: "body", "body, replayed", or
// "code/reason, outcome" with ", replayed" or ", later" after it.
func told(reply *warren.Reply, err error) string {
	if err == nil {
		if reply.Replayed {
			return string(reply.Body) + ", replayed"
		}
		return string(reply.Body)
	}
	e, ok := warren.AsError(err)
	if !ok {
		return err.Error()
	}
	s := fmt.Sprintf("%v/%s, %v", e.Code, e.Reason, e.Outcome)
	if e.Replayed {
		s += ", replayed"
	}
	if e.RetryAfter > 0 {
		s += ", later"
	}
	return s
}

// raw is a request of Warren's for m as it travels, due in a minute.
func raw(p *rig.Peer, callID, body string) amqp.Publishing {
	meta := wire.Meta{Kind: wire.KindCall, Attempt: 1, Issued: time.Now(), Deadline: time.Now().Add(time.Minute)}
	return amqp.Publishing{Type: meta.Encode(), CorrelationId: callID, ReplyTo: p.Queue, Body: []byte(body)}
}

// toldRaw is told of a reply as it travels.
func toldRaw(r *rig.Rig, d amqp.Delivery) string {
	r.T.Helper()
	meta, err := wire.DecodeMeta(d.Type)
	if err != nil {
		r.T.Fatal(err)
	}
	if meta.Code == 0 {
		return told(&warren.Reply{Body: d.Body, Replayed: meta.Replayed}, nil)
	}
	return told(nil, &warren.Error{
		Code: meta.Code, Reason: meta.Reason, Outcome: meta.Outcome, RetryAfter: meta.RetryAfter, Replayed: meta.Replayed,
	})
}

// severed cuts the connection by which the servers consume.
func severed(r *rig.Rig) {
	r.T.Helper()
	for _, conn := range r.Broker.Connections() {
		if strings.Contains(conn.Name, "server, consumes") {
			conn.Sever()
		}
	}
}

func want(r *rig.Rig, what, got, expected string) {
	r.T.Helper()
	if got != expected {
		r.T.Errorf("%s: %q; want %q", what, got, expected)
	}
}

// atWork has what the store's handle runs in a transaction stand before it, as a
// handler at the gate stands: a transaction of a store in memory would hold up all
// who use the data.
func atWork(st *testStore, g *rig.Gate) {
	st.fail("transact", func(ctx context.Context) error {
		g.Entered <- ""
		select {
		case <-g.Release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil)
}
