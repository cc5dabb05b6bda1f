package server

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/warren-rpc/warren/internal/wire"
)

// requests are those of a method that this process has, or has ended and may not have
// acknowledged. One that the broker hands out again, as the channel that it came by has
// ended (a lost connection, the consumer timeout), is not run beside itself or again:
// its first run, or the end of that, takes the new delivery over.
//
// A request is known again by its [requestID], and only while the delivery that this
// process has of it cannot be acknowledged any more: what looks the same and comes
// beside a delivery that lives is another request.
type requests struct {
	mu    sync.Mutex
	known map[requestID]*answer
	ended []ended // a ring
	turns uint64  // how many were put into the ring
	bytes int     // of what is in it
}

const (
	// mostEnded bounds how many requests of a method that have ended are remembered. It
	// need be no more than twice the prefetch: so many are lost with a channel, and so
	// many acknowledgements may be on their way.
	mostEnded = 2048
	// mostEndedBytes bounds what is kept with them: request and reply.
	mostEndedBytes = 8 << 20
	// rememberFor is how long they are remembered at most.
	rememberFor = 5 * time.Minute
)

func newRequests(prefetch int) *requests {
	return &requests{known: make(map[requestID]*answer), ended: make([]ended, min(2*prefetch, mostEnded))}
}

// ended is a request that has ended.
type ended struct {
	a    *answer
	turn uint64
	size int // in bytes, about
}

// requestID is what tells requests apart.
type requestID struct {
	replyTo, callID string
	nonce           wire.Nonce
	issued          int64
	attempt         int
	content         uint64 // of those without a nonce
}

var contentSeed = maphash.MakeSeed()

// requestIDOf returns the request's ID; ok is false if nothing tells it from others.
func requestIDOf(req *wire.Request, replyTo string) (id requestID, ok bool) {
	if req.CallID == "" {
		return id, false
	}
	id = requestID{replyTo: replyTo, callID: req.CallID, nonce: req.Nonce, attempt: req.Attempt}
	if !req.Issued.IsZero() {
		id.issued = req.Issued.UnixMilli()
	}
	if req.Nonce == (wire.Nonce{}) {
		id.content = contentOf(req)
	}
	return id, true
}

func contentOf(req *wire.Request) uint64 {
	sum := maphash.Bytes(contentSeed, req.Body) + 3*maphash.String(contentSeed, req.ContentType) +
		5*maphash.String(contentSeed, req.ContentEncoding)
	for key, value := range req.Header {
		sum += maphash.Comparable(contentSeed, [2]string{key, value})
	}
	return sum
}

// begin reports whether the request is new here. If not, whoever has it takes the
// delivery over.
func (rs *requests) begin(a *answer) bool {
	id, ok := requestIDOf(a.req, a.d.ReplyTo)
	if !ok {
		return true
	}
	rs.mu.Lock()
	old := rs.known[id]
	adopted, ended := false, true
	switch {
	case old == nil:
	case a.req.Redelivered:
		adopted, ended = old.adopt(&a.d)
	default:
		ended = old.over()
	}
	if !adopted && ended { // else there are two that look the same
		a.rid, a.listed, a.certain = id, true, !a.req.Plain
		rs.known[id] = a
	}
	rs.mu.Unlock()
	if adopted {
		a.s.counters.attached.Add(1)
		old.resume(ended)
	}
	return !adopted
}

// forget is told of a request that will be run again if it comes back.
func (rs *requests) forget(a *answer) {
	if !a.listed {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.drop(a)
}

// drop is forget, with mu held.
func (rs *requests) drop(a *answer) {
	if rs.known[a.rid] == a {
		delete(rs.known, a.rid)
	}
}

// remember is told of a request that has ended, and may come back all the same, and how
// many bytes are kept with it.
func (rs *requests) remember(a *answer, size int) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !a.listed || rs.known[a.rid] != a {
		return
	}
	a.turn = rs.turns
	rs.put(ended{a, rs.turns, size})
	rs.turns++
	for oldest := rs.turns - min(rs.turns, uint64(len(rs.ended))); rs.bytes > mostEndedBytes; oldest++ {
		rs.put(ended{turn: oldest})
	}
}

// put puts e in its place in the ring, and forgets the request that had it, unless that
// has come back since.
func (rs *requests) put(e ended) {
	place := &rs.ended[e.turn%uint64(len(rs.ended))]
	if a := place.a; a != nil {
		rs.bytes -= place.size
		if a.turn == place.turn && a.over() {
			rs.drop(a)
		}
	}
	*place = e
	rs.bytes += e.size
}
