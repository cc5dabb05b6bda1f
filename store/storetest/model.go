package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
)

var modelGroups = []group{
	{name: "Histories", run: histories,
		sentence: "All of it: a store answers as a model of the contract does, whatever is done one after the other."},
}

func histories(e *env) {
	e.close()
	for range e.f.Histories {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		var steps []string
		func() {
			defer func() {
				if e.tb.Failed() {
					e.tb.Logf("the history: %q", steps)
				}
			}()
			h := newHistory(e.tb, e, e.open, e.f, random.IntN)
			for range 60 {
				steps = append(steps, h.step())
				if e.tb.Failed() {
					e.tb.FailNow()
				}
			}
			h.close()
		}()
	}
}

// History does random things to a new store, one after the other, and compares the
// answers with those of a model. pick chooses: it returns a number from 0 to below n.
// A library that makes random cases, and finds the smallest one that fails, can drive
// it; report is that library's test then. Run does the same with its own numbers.
func History(t testing.TB, report Reporter, open Open, f Features, pick func(n int) int) {
	t.Helper()
	h := newHistory(t, report, open, f.complete(), pick)
	defer h.store.Close()
	for range 10 + pick(50) {
		h.step()
	}
}

// Reporter is who hears what is wrong with a history. Fatalf does not return.
type Reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// history is a store and the model of what it should hold.
type history struct {
	*env
	pick    func(n int) int
	known   []store.Key
	buried  []store.Key // of tombstones of calls that never came
	records map[store.Key]*modelRecord
	opened  int // how often the store has been opened
	unswept int // how many records that are over sweeps may have left
}

type modelRecord struct {
	store.Record
	opened int // which opening of the store made the last claim
}

func newHistory(t testing.TB, report Reporter, open Open, f Features, pick func(n int) int) *history {
	t.Helper()
	e := newEnv(t, open, f, Options{MaxPayload: 100})
	e.Reporter = report
	h := &history{env: e, pick: pick, records: make(map[store.Key]*modelRecord)}
	for range 4 {
		h.known = append(h.known, h.key())
	}
	return h
}

func (h *history) dead(r *modelRecord) bool {
	if r.State != store.InProgress {
		return false
	}
	if h.f.Leases && h.clock.Now().After(r.Lease) {
		return true
	}
	return r.opened != h.opened && (!h.f.Leases || h.f.Deaths)
}

// restart closes the store and opens it again. All owners that are dead by that are
// known to be afterwards.
func (h *history) restart() {
	h.Helper()
	h.reopen()
	h.opened++
	if !h.f.Deaths {
		return
	}
	for _, key := range h.known {
		if r := h.find(key); r != nil && r.State == store.InProgress {
			h.learnsDeath(key)
		}
	}
}

func (h *history) over(r *modelRecord) bool {
	return h.clock.Now().After(r.Expires) && (r.State != store.InProgress || h.dead(r))
}

// find returns the record as Get should. It is nil if there is none.
func (h *history) find(key store.Key) *modelRecord {
	r := h.records[key]
	if r != nil && h.over(r) {
		return nil
	}
	return r
}

func (h *history) view(key store.Key) store.Record {
	r := h.find(key)
	if r == nil {
		return store.Record{Key: key}
	}
	v := r.Record
	if h.dead(r) {
		v.State, v.Lease = store.Interrupted, time.Time{}
	}
	return v
}

// step does one thing and says what.
func (h *history) step() string {
	h.Helper()
	key := h.known[h.pick(len(h.known))]
	var what string
	switch h.pick(14) {
	case 0, 1, 2, 3, 4:
		what = h.claim(key)
	case 5, 6:
		what = h.complete(key)
	case 7:
		what = h.giveUp(key)
	case 8:
		what = h.renew(key)
	case 9:
		what = h.entomb(key)
	case 10, 11:
		// The odd part keeps every moment apart from every end of a lease or retention.
		d := []time.Duration{time.Second, 2 * lease, time.Minute, time.Hour}[h.pick(4)] + 10*instant
		h.clock.move(d)
		what = fmt.Sprintf("%v pass", d)
	case 12:
		what = "sweep"
		h.sweepAll()
	default:
		what = "reopen"
		h.restart()
	}
	h.compare(what)
	return what
}

// all returns the keys of all that may have records.
func (h *history) all() []store.Key { return slices.Concat(h.known, h.buried) }

func (h *history) compare(after string) {
	h.Helper()
	for _, key := range h.all() {
		want, got := h.view(key), h.get(key)
		if want.State == store.Absent && got.State == store.Absent {
			continue
		}
		if want.State == store.Interrupted {
			want.Updated = got.Updated // the death of an owner may be written down, or not
		}
		if d := difference(want, got); d != "" {
			h.Fatalf("after %q:%s", after, d)
		}
	}
}

func (h *history) duration(d ...time.Duration) time.Duration { return d[h.pick(len(d))] }
