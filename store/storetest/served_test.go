package storetest_test

import (
	"context"
	"errors"
	"net"
	"net/rpc"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/store/storetest"
)

// served are stores that several processes share: the data are in the memory of the
// test's process, which serves them to the others. It learns of the death of those by
// the end of their connection.
type served struct {
	folders

	listen net.Listener
}

// servedAt is the environment variable with the address of the process that serves.
const servedAt = "WARREN_STORETEST_SERVED"

func (f *served) open(t testing.TB, dir string, now func() time.Time, o storetest.Options) store.Store {
	if at := os.Getenv(servedAt); at != "" && f.listen == nil {
		return dial(t, at, dir)
	}
	return newMortal(f.openMemory(dir, now, o), f.openMemory(dir, now, o))
}

// serve begins to serve, for as long as the test runs.
func (f *served) serve(t *testing.T) {
	t.Helper()
	if os.Getenv(servedAt) != "" {
		return
	}
	var err error
	if f.listen, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if err := os.Setenv(servedAt, f.listen.Addr().String()); err != nil { //nolint:usetesting // the test runs beside others
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := f.listen.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() {
				s := &session{folders: &f.folders}
				server := rpc.NewServer()
				if err := server.RegisterName("Store", s); err == nil {
					server.ServeConn(conn)
				}
				_ = s.store.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = os.Unsetenv(servedAt)
		_ = f.listen.Close()
		sessions.Wait()
	})
}

// mortal is a store whose claims are a dead owner's when it has been closed.
type mortal struct {
	*memstore.Store
	others *memstore.Store // by which its death is learnt when it answers nothing any more
	mu     sync.Mutex
	begun  map[store.Key]uint64
}

func newMortal(s, others *memstore.Store) *mortal {
	return &mortal{Store: s, others: others, begun: make(map[store.Key]uint64)}
}

func (m *mortal) Traits() store.Traits { return store.Traits{Durable: true, Shared: true} }

func (m *mortal) Claim(ctx context.Context, c store.Claim) (store.Record, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, won, err := m.Store.Claim(ctx, c)
	if won {
		m.begun[c.Key] = r.Token
	}
	return r, won, err
}

func (m *mortal) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.others.Close()
	if err := m.Store.Close(); err != nil || os.Getenv(mutantName) == learnsNoDeath {
		return err
	}
	for key, token := range m.begun {
		// What has ended is nobody's any more, and nothing comes of this.
		_ = m.others.Abandon(context.Background(), key, token, store.Unended)
	}
	return nil
}

// session is what one of the other processes has of its store here.
type session struct {
	folders *folders
	store   *mortal
}

// Request and Reply are what travels.
type (
	Request struct {
		Dir              string
		Claim            store.Claim
		Key              store.Key
		Token            uint64
		Result           store.Result
		Lease, Retention time.Duration
		End              store.AttemptEnd
	}
	Reply struct {
		Owner  string
		Record store.Record
		Won    bool
	}
)

func (s *session) Open(req Request, reply *Reply) error {
	open := func() *memstore.Store { return s.folders.openMemory(req.Dir, time.Now, storetest.Options{}) }
	s.store = newMortal(open(), open())
	reply.Owner = s.store.Owner()
	return nil
}

func (s *session) Get(req Request, reply *Reply) (err error) {
	reply.Record, err = s.store.Get(context.Background(), req.Key)
	return err
}

func (s *session) Claim(req Request, reply *Reply) (err error) {
	reply.Record, reply.Won, err = s.store.Claim(context.Background(), req.Claim)
	return err
}

func (s *session) Renew(req Request, _ *Reply) error {
	return s.store.Renew(context.Background(), req.Key, req.Token, req.Lease)
}

func (s *session) Complete(req Request, _ *Reply) error {
	return s.store.Complete(context.Background(), req.Key, req.Token, req.Result, req.Retention)
}

func (s *session) Abandon(req Request, _ *Reply) error {
	return s.store.Abandon(context.Background(), req.Key, req.Token, req.End)
}

func (s *session) Bury(req Request, reply *Reply) (err error) {
	reply.Record, err = s.store.Bury(context.Background(), req.Claim)
	return err
}

// remote is a store in another process. It has what the processes of the suite use.
type remote struct {
	store.Store
	client *rpc.Client
	owner  string
}

func dial(t testing.TB, at, dir string) *remote {
	client, err := rpc.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	r := &remote{client: client}
	reply, err := r.call("Open", Request{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	r.owner = reply.Owner
	return r
}

func (r *remote) call(method string, req Request) (reply Reply, err error) {
	if err = r.client.Call("Store."+method, req, &reply); err != nil && err.Error() == store.ErrStale.Error() {
		err = store.ErrStale
	}
	if errors.Is(err, rpc.ErrShutdown) {
		err = store.ErrClosed
	}
	return reply, err
}

func (r *remote) Owner() string        { return r.owner }
func (r *remote) Traits() store.Traits { return store.Traits{Durable: true, Shared: true} }
func (r *remote) Close() error         { return r.client.Close() }

func (r *remote) Get(_ context.Context, key store.Key) (store.Record, error) {
	reply, err := r.call("Get", Request{Key: key})
	return reply.Record, err
}

func (r *remote) Claim(_ context.Context, c store.Claim) (store.Record, bool, error) {
	reply, err := r.call("Claim", Request{Claim: c})
	return reply.Record, reply.Won, err
}

func (r *remote) Renew(_ context.Context, key store.Key, token uint64, lease time.Duration) error {
	_, err := r.call("Renew", Request{Key: key, Token: token, Lease: lease})
	return err
}

func (r *remote) Complete(_ context.Context, key store.Key, token uint64, result store.Result, retention time.Duration) error {
	_, err := r.call("Complete", Request{Key: key, Token: token, Result: result, Retention: retention})
	return err
}

func (r *remote) Abandon(_ context.Context, key store.Key, token uint64, end store.AttemptEnd) error {
	_, err := r.call("Abandon", Request{Key: key, Token: token, End: end})
	return err
}

func (r *remote) Bury(_ context.Context, b store.Claim) (store.Record, error) {
	reply, err := r.call("Bury", Request{Claim: b})
	return reply.Record, err
}
