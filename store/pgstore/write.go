package pgstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/store"
)

const (
	// writers is how many transactions of claims and ends are under way at a time.
	writers = 2
	// most is how many claims and ends one of them has at most. Each claim takes a lock of the database's lock
	// table until the commit.
	most = 256
	// checkAfter is after what time without use a connection is asked whether it is there still, and how long it may
	// take to answer.
	checkAfter = time.Second
	// heaviest is how many bytes of payload one of them has, unless it is for one end alone: so that large replies do
	// not take longer together than a transaction may.
	heaviest = 4 << 20
)

// request is a claim or an end that is done with others in one transaction.
type request struct {
	claim *store.Claim
	end   *end
	// done says that it was done, by a transaction that was committed. One that was not, and has no error, must be
	// done alone: something is in its way.
	done   bool
	record store.Record // of a claim that is done
	err    error
}

// weigh returns the bytes of its payload.
func (r *request) weigh() int {
	if r.end == nil {
		return 0
	}
	return len(r.end.payload)
}

// op is what the request is, in errors.
func (r *request) op() string {
	if r.end != nil {
		return r.end.op
	}
	return "claim"
}

// together has the request done with others. It returns ctx's error if that ends before it was begun; if that is not within
// Options.Timeout, an *UnavailableError.
func (s *Store) together(ctx context.Context, r *request) error {
	turn, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	switch err := s.writes.wait(turn, r); {
	case err == nil:
		return r.err
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return s.translate(r.op(), err)
	}
}

// writer does requests on a connection of its own, so that claims and renewals do not wait for the application's
// transactions, and need no settings of their own.
type writer struct {
	store   *Store
	connect func(context.Context) (*pgx.Conn, error)
	conn    *pgx.Conn // nil: none
	used    time.Time // when conn was used last
}

// write does the requests in one transaction.
func (w *writer) write(requests []*request) {
	ctx, cancel := context.WithTimeout(context.Background(), w.store.options.Timeout)
	defer cancel()
	err := errPanicked
	defer func() {
		if err == nil {
			return
		}
		if errors.Is(err, errPanicked) { // whoever called may recover from it
			w.close(ctx)
		}
		for _, r := range requests {
			r.done = false // whatever was read before the commit failed
			if !single(err) {
				r.err = w.store.translate(r.op(), err)
			}
		}
	}()
	err = w.run(ctx, newWriteBatch(w.store, requests))
}

// errPanicked is told of requests that were done together with one that ended in a panic.
var errPanicked = errors.New("a request that was done together with this one has panicked")

func (w *writer) run(ctx context.Context, b *writeBatch) (err error) {
	var p pgx.Batch
	if w.store.options.NoSession {
		conn, acquireErr := w.store.own.Acquire(ctx)
		if acquireErr != nil {
			return acquireErr
		}
		defer func() { release(ctx, conn, err) }()
		defer rollback(ctx, conn.Conn())
		p.BeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
		p.Queue(settings)
		p.Queue(impatient)
		b.queue(&p)
		p.Queue("commit")
		return conn.SendBatch(ctx, &p).Close()
	}
	if err := w.open(ctx); err != nil {
		return err
	}
	b.queue(&p)
	err = w.conn.SendBatch(ctx, &p).Close() // one transaction, as it is one message
	w.used = time.Now()
	if err != nil && !single(err) {
		w.close(ctx)
	}
	return err
}

// open makes sure that there is a connection.
func (w *writer) open(ctx context.Context) error {
	if w.conn != nil && !w.conn.IsClosed() {
		if time.Since(w.used) < checkAfter || w.answers(ctx) {
			return nil
		}
		w.close(ctx)
	}
	conn, err := w.connect(ctx)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, sessionSettings); err != nil {
		discard(ctx, conn)
		return err
	}
	w.conn = conn
	return nil
}

// answers reports whether the connection is there still, which may have been ended while nobody used it.
func (w *writer) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, checkAfter)
	defer cancel()
	return w.conn.Ping(ctx) == nil
}

// close gives the connection up. The next may be one to another server.
func (w *writer) close(ctx context.Context) {
	if w.conn != nil {
		discard(ctx, w.conn)
		w.conn = nil
	}
}

// writeBatch is the requests of one transaction.
type writeBatch struct {
	store  *Store
	claims []*request            // in the order of their locks, each key once
	ends   [slots + 1][]*request // by the slot that they are most probably in, in the order of their keys
}

func newWriteBatch(s *Store, requests []*request) *writeBatch {
	b := &writeBatch{store: s}
	for _, r := range requests {
		if r.claim != nil {
			b.claims = append(b.claims, r)
		} else if slot := slotOf(r.end.token); slot >= 0 {
			b.ends[slot] = append(b.ends[slot], r)
		}
	}
	slices.SortFunc(b.claims, func(x, y *request) int {
		return cmp.Or(cmp.Compare(lockOf(x.claim.Key), lockOf(y.claim.Key)), bytes.Compare(x.claim.Key[:], y.claim.Key[:]))
	})
	b.claims = slices.CompactFunc(b.claims, func(x, y *request) bool { return x.claim.Key == y.claim.Key })
	for _, ends := range b.ends {
		slices.SortFunc(ends, func(x, y *request) int { return bytes.Compare(x.end.key[:], y.end.key[:]) })
	}
	return b
}

// lockOf returns the second half of the key's advisory lock. Several keys may have the same one.
func lockOf(key store.Key) int32 { return int32(prefix(key)) }

func (b *writeBatch) queue(p *pgx.Batch) {
	b.queueClaims(p)
	for slot, ends := range b.ends {
		b.queueEnds(p, slot, ends)
	}
}

// rollback ends a transaction, if there is one. Without the transaction's end the pool does not take the connection back.
func rollback(ctx context.Context, conn *pgx.Conn) {
	if !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
		_, _ = conn.Exec(ctx, "rollback") // what cannot be rolled back is closed by the pool
	}
}

func (b *writeBatch) queueClaims(p *pgx.Batch) {
	n := len(b.claims)
	if n == 0 {
		return
	}
	s := b.store
	locks, ks := make([]int32, n), make([]int64, n)
	keys, tombstones, fingerprints := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	methods, callIDs := make([]string, n), make([]string, n)
	leases, retentions := make([]int64, n), make([]int64, n)
	byKey := make(map[store.Key]*request, n)
	for i, r := range b.claims {
		c := r.claim
		locks[i], ks[i], keys[i], fingerprints[i] = lockOf(c.Key), prefix(c.Key), c.Key[:], c.Fingerprint[:]
		tombstones[i] = tombstoneKey(*c)
		methods[i], callIDs[i] = text(c.Method), text(c.CallID)
		leases[i], retentions[i] = microseconds(c.Lease), microseconds(c.Retention)
		byKey[c.Key] = r
	}
	p.Queue(s.queries.lock, s.class, locks)
	p.Queue(s.queries.claim, s.options.now(), s.identity.ID, s.owner, ks, keys, tombstones, fingerprints, methods, callIDs, leases, retentions).
		Query(func(rows pgx.Rows) error {
			var key []byte
			var token int64
			var lease, created, expires time.Time
			_, err := pgx.ForEachRow(rows, []any{&key, &token, &lease, &created, &expires}, func() error {
				r := byKey[store.Key(key)]
				c := r.claim
				r.done = true
				r.record = store.Record{
					Key: c.Key, Method: text(c.Method), CallID: text(c.CallID), State: store.InProgress, Fingerprint: c.Fingerprint,
					Token: uint64(token), Attempts: 1, First: true, Owner: s.Owner(),
					Lease: lease, Created: created, Updated: created, Expires: expires,
				}
				return nil
			})
			return err
		})
}

func (b *writeBatch) queueEnds(p *pgx.Batch, slot int, ends []*request) {
	n := len(ends)
	if n == 0 {
		return
	}
	ks, keys, tokens, states := make([]int64, n), make([][]byte, n), make([]int64, n), make([]int16, n)
	leases, retentions, less, undone := make([]int64, n), make([]int64, n), make([]int32, n), make([]bool, n)
	sizes, digests, retained, payloads := make([]int32, n), make([][]byte, n), make([]bool, n), make([][]byte, n)
	for i, r := range ends {
		e := r.end
		ks[i], keys[i], tokens[i], states[i] = prefix(e.key), e.key[:], signed(e.token), int16(e.state)
		leases[i], retentions[i], less[i], undone[i] = microseconds(e.lease), microseconds(e.retention), int32(e.less), e.undone
		sizes[i], digests[i], retained[i], payloads[i] = int32(e.size), e.digest, e.retained, e.payload
	}
	p.Queue(b.store.queries.ends[slot], b.store.options.now(), b.store.identity.ID, ks, keys, tokens, states, leases, retentions, less, undone, sizes, digests, retained, payloads).
		Query(func(rows pgx.Rows) error {
			var i int
			_, err := pgx.ForEachRow(rows, []any{&i}, func() error {
				ends[i-1].done = true
				return nil
			})
			return err
		})
}

// tombstoneKey is where a tombstone of the call would be; nil if it cannot have one.
func tombstoneKey(c store.Claim) []byte {
	if !c.Fingerprint.Proven() {
		return nil
	}
	key := c.Key.Tombstone(c.Fingerprint)
	return key[:]
}

// microseconds is the duration as the database counts it: at least 1 if it is above 0.
func microseconds(d time.Duration) int64 {
	if d > 0 {
		return max(1, d.Microseconds())
	}
	return 0
}
