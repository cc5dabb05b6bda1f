package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/pgstore"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// envServe is the environment variable that makes the test binary a server: it is a spec.
const envServe = "WARREN_PGSTORE_E2E"

// spec is what a server process serves.
type spec struct {
	Broker, Database, Schema string
	Mode                     server.Mode
	Lease                    time.Duration
}

// The methods of each server.
const (
	effect = "effect" // writes down who has called, and does not come back for so long as the body says
	plain  = "plain"  // has no records, and returns the body
)

// hold has the handler of effect hold calls, in their first delivery, until it is cancelled.
const hold = "hold"

// serve is what the process does until it is told to end.
func serve(text string) error {
	var o spec
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	if _, err := proc.Child(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	config, err := pgxpool.ParseConfig(o.Database)
	if err != nil {
		return err
	}
	config.MaxConns = 12
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	st, err := pgstore.Open(ctx, pool, pgstore.Options{Schema: o.Schema})
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	s, err := server.New(server.Config{
		Broker: warren.Broker{URLs: []string{o.Broker}, Heartbeat: heartbeat}, Store: st,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	if err := o.register(s, pool); err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	limit, cancel := context.WithTimeout(context.Background(), patience.Times(20*time.Second))
	defer cancel()
	return s.Stop(limit)
}

func (o *spec) register(s *server.Server, pool *pgxpool.Pool) error {
	// Tests kill servers more often than any call may die with its server by default.
	m := server.Method{Name: effect, Codec: warren.Raw, Dedupe: server.Dedupe{Mode: o.Mode, Lease: o.Lease, Park: -1}}
	var err error
	if o.Mode == server.Transactional {
		err = server.HandleTx(s, m, func(ctx context.Context, tx pgx.Tx, body []byte) ([]byte, error) { return work(ctx, tx, string(body)) })
	} else {
		err = server.Handle(s, m, func(ctx context.Context, body []byte) ([]byte, error) { return work(ctx, pool, string(body)) })
	}
	if err != nil {
		return err
	}
	return s.HandleRaw(server.Method{Name: plain, Dedupe: server.Dedupe{Mode: server.NotDeduped}}, rig.Echo)
}

// executor is a transaction, or what makes one for each statement.
type executor interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
}

// work is the handler of effect.
func work(ctx context.Context, db executor, body string) ([]byte, error) {
	req := warren.RequestFromContext(ctx)
	fmt.Println(atWork, req.CallID)
	if body == hold && !req.Redelivered {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if d, err := time.ParseDuration(body); err == nil {
		time.Sleep(d)
	}
	_, err := db.Exec(ctx, "INSERT INTO public.effects VALUES ($1)", req.CallID)
	return []byte("done"), err
}

// atWork begins a line of a process whose handler has the call that follows.
const atWork = "at work:"

// heartbeat is that of clients and servers.
var heartbeat = patience.Times(3 * time.Second)

// database makes the tables of the schemas, and that of the effects.
func database(t *testing.T, url string, schemas ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, schema := range schemas {
		if err := pgstore.Migrate(t.Context(), conn, pgstore.MigrateOptions{Schema: schema}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE public.effects (call text NOT NULL)"); err != nil {
		t.Fatal(err)
	}
}

// effects returns how many effects there are, of how many calls.
func effects(t *testing.T, url string) (all, calls int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT call) FROM public.effects").Scan(&all, &calls); err != nil {
		t.Fatal(err)
	}
	return all, calls
}

// effectsByCall returns how many effects each call has that has any.
func effectsByCall(t *testing.T, url string) map[string]int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(t.Context(), "SELECT call, count(*) FROM public.effects GROUP BY call")
	if err != nil {
		t.Fatal(err)
	}
	n := make(map[string]int)
	var call string
	var count int
	if _, err := pgx.ForEachRow(rows, []any{&call, &count}, func() error { n[call] = count; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// replica is a server process. The calls that its handler has are told to began.
func (o spec) replica(t *testing.T, began func(callID string)) *proc.Process {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p, err := proc.Start(t.Context(), proc.Options{
		Path: os.Args[0], Env: []string{envServe + "=" + string(text)}, Ready: "ready", ReadyWithin: patience.Soon,
		OnLine: func(line string) {
			if callID, ok := strings.CutPrefix(line, atWork+" "); ok && began != nil {
				began(callID)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// caller returns a client that is closed with the test.
func (o spec) caller(t *testing.T) *client.Client {
	t.Helper()
	return rig.NewClient(t, client.Config{
		Broker: warren.Broker{URLs: []string{o.Broker}, Heartbeat: heartbeat}, Logger: slog.New(slog.DiscardHandler), NoServer: client.Wait,
	})
}

// outcome is what came of a call.
type outcome struct {
	callID string
	err    error
}

// load makes so many calls, a part of them at a time, and returns what came of each.
func (o spec) load(t *testing.T, calls, inFlight int, options ...client.CallOption) []outcome {
	t.Helper()
	c := o.caller(t)
	outcomes := make([]outcome, calls)
	var next atomic.Int64
	var callers sync.WaitGroup
	for range inFlight {
		callers.Go(func() {
			for i := int(next.Add(1)) - 1; i < calls; i = int(next.Add(1)) - 1 {
				callID := fmt.Sprintf("call-%d", i)
				_, err := c.Call(t.Context(), effect, []byte("2ms"), append(options, client.WithCallID(callID), client.WithTimeout(patience.Soon))...)
				outcomes[i] = outcome{callID, err}
			}
		})
	}
	callers.Wait()
	return outcomes
}
