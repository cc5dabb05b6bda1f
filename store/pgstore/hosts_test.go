package pgstore

import (
	"context"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/patience"
)

// TestHostThatDoesNotAnswerIsPassedOver has the first host of the URL take connections and say nothing, as a machine that is
// gone. All that connects must get to the second: the pool, the session and those who write.
func TestHostThatDoesNotAnswerIsPassedOver(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	address, err := url.Parse(testURL(t))
	if err != nil {
		t.Fatal(err)
	}
	direct := newStore(t, Options{Timeout: 9 * time.Second})
	address.Host = silent.Addr().String() + "," + address.Host
	parameters := address.Query()
	parameters.Set("target_session_attrs", "read-write")
	parameters.Set("application_name", direct.options.Schema)
	address.RawQuery = parameters.Encode()
	s, err := OpenURL(t.Context(), address.String(), direct.options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	r := mustClaim(t, s, claimOf(newKey()))

	// So must what is connected like a pool of the application's that sets no time.
	config := s.pool.Config()
	config.ConnConfig.ConnectTimeout = 0
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	attempt, cancel := context.WithTimeout(t.Context(), 2*lookTimeout)
	defer cancel()
	conn, err := connector(pool)(attempt)
	if err != nil {
		t.Fatal(err)
	}
	discard(t.Context(), conn)

	// Whatever is connected is cut, and the others take the store for dead.
	execute(t, direct.pool, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", direct.options.Schema)
	execute(t, direct.pool, "DELETE FROM "+quote(direct.options.Schema)+".owners WHERE id = $1", s.owner)
	patience.Eventually(t, "the store is registered again", func() bool {
		return query[bool](t, direct.pool, "SELECT EXISTS (SELECT FROM "+quote(direct.options.Schema)+".owners WHERE id = $1)", s.owner)
	})
	patience.Eventually(t, "the record is completed", func() bool {
		return s.Complete(context.Background(), r.Key, r.Token, done, time.Hour) == nil
	})
	if got := stateOf(t, s, r.Key); got != store.Completed {
		t.Errorf("the record is %v", got)
	}
}
