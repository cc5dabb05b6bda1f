package e2e

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/pgstore"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/postgres"
	"github.com/warren-rpc/warren/test/rabbit"
)

// While PostgreSQL is down a method without records answers, and the others say that
// they cannot; all is well when it is back, without a restart.
func TestServerOutlivesItsDatabase(t *testing.T) {
	db := postgres.New(t, postgres.Options{})
	o := spec{Broker: rabbit.VHost(t), Database: db.URL("postgres"), Schema: "warren", Mode: server.AtMostOnce}
	database(t, o.Database, o.Schema)
	o.replica(t, nil)
	o.replica(t, nil)
	c := o.caller(t)
	call := func(method string, options ...client.CallOption) error {
		_, err := c.Call(t.Context(), method, []byte("1ms"), append(options, client.WithTimeout(patience.Soon))...)
		return err
	}
	if err := call(effect); err != nil {
		t.Fatal(err)
	}
	for _, freeze := range []bool{false, true} {
		if freeze {
			if err := db.Freeze(); err != nil {
				t.Fatal(err)
			}
		} else {
			db.Kill()
		}
		refused := make(chan error, 8)
		for range cap(refused) {
			go func() { refused <- call(effect, client.WithAttempts(1)) }()
		}
		for range 20 {
			if err := call(plain); err != nil {
				t.Errorf("a method without records while the database is away: %v", err)
			}
		}
		if !freeze {
			for range cap(refused) {
				e, ok := warren.AsError(<-refused)
				if !ok || e.Reason != warren.ReasonStoreUnavailable || e.Outcome != warren.NotExecuted {
					t.Errorf("a call while the database is down: %v", e)
				}
			}
			if err := db.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else {
			if err := db.Thaw(); err != nil {
				t.Fatal(err)
			}
			for range cap(refused) {
				if err := <-refused; err != nil { // it may have waited, or not
					t.Logf("a call while the database says nothing: %v", err)
				}
			}
		}
		patience.Eventually(t, "calls are answered again", func() bool { return call(effect, client.WithAttempts(1)) == nil })
	}
	if all, calls := effects(t, o.Database); all != calls {
		t.Errorf("%d effects of %d calls", all, calls)
	}
}

// Two schemas are two memories: a server that has another one does not serve the method.
func TestServerWithAnotherSchemaIsKeptOut(t *testing.T) {
	o := spec{Broker: rabbit.VHost(t), Database: postgres.Database(t), Schema: "first", Mode: server.AtLeastOnce}
	database(t, o.Database, "first", "second")
	o.replica(t, nil)
	o.replica(t, nil) // the same memory
	pool, err := pgxpool.New(t.Context(), o.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	st, err := pgstore.Open(t.Context(), pool, pgstore.Options{Schema: "second"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	s, err := server.New(server.Config{
		Broker: warren.Broker{URLs: []string{o.Broker}, Heartbeat: heartbeat}, Store: st, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.register(s, pool); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), st.Identity().ID) {
		t.Errorf("a server with another schema: %v", err)
		_ = s.Stop(t.Context())
	}
	if _, err := o.caller(t).Call(t.Context(), effect, []byte("1ms"), client.WithTimeout(time.Minute)); err != nil {
		t.Error(err)
	}
}
