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
	most int // of those that have ended

	mu    sync.Mutex
	known map[requestID]*exchange
	ended []ended // the oldest first
	turns uint64  // how many have ended
	bytes int     // that are kept with them
}

// entry is what there is of an exchange among the requests. Their lock guards it, but
// for certain, which stays as it is from the begin on.
type entry struct {
	id      requestID
	listed  bool   // it is the one that is known by this ID
	certain bool   // no other request has this ID, which a plain caller may use again
	turn    uint64 // of the requests that have ended
}

const (
	// mostEnded bounds how many requests of a method that have ended are remembered. It
	// need be no more than twice the prefetch: so many are lost with a channel, and so
	// many acknowledgements may be on their way.
	mostEnded = 2048
	// mostEndedBytes bounds what is kept with them: request, with its headers, and reply.
	mostEndedBytes = 8 << 20
	// retainedAtLeast is about how large an exchange is without these, in bytes.
	retainedAtLeast = 1 << 10
	// rememberFor is how long they are remembered at most.
	rememberFor = 5 * time.Minute
)

func newRequests(prefetch int) *requests {
	return &requests{known: make(map[requestID]*exchange), most: min(2*prefetch, mostEnded)}
}

// ended is a request that has ended.
type ended struct {
	ex   *exchange
	turn uint64
	size int // in bytes, about
}

// requestID is what tells requests apart.
type requestID struct {
	replyTo, callID string
	nonce           wire.Nonce
	issued          int64
	attempt         int
	content         uint64 // of those whose call ID may be another one's too, and that have no nonce
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
	if req.Nonce == (wire.Nonce{}) && !req.Unique {
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
func (rs *requests) begin(ex *exchange) bool {
	id, ok := requestIDOf(ex.req, ex.d.ReplyTo)
	if !ok {
		return true
	}
	rs.mu.Lock()
	old := rs.known[id]
	adopted, ended := false, true
	switch {
	case old == nil:
	case ex.req.Redelivered:
		adopted, ended = old.ack.adopt(&ex.d)
	default:
		ended = old.ack.over()
	}
	if !adopted && ended { // else there are two that look the same
		if old != nil {
			old.entry.listed = false
		}
		ex.entry.id, ex.entry.listed, ex.entry.certain = id, true, !ex.req.Plain
		rs.known[id] = ex
	}
	rs.mu.Unlock()
	if adopted {
		ex.s.counters.attached.Add(1)
		old.ack.resume(ended)
	}
	return !adopted
}

// forget is told of a request that will be run again if it comes back.
func (rs *requests) forget(ex *exchange) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.drop(ex)
}

// drop is forget, with mu held.
func (rs *requests) drop(ex *exchange) {
	if ex.entry.listed {
		ex.entry.listed = false
		delete(rs.known, ex.entry.id)
	}
}

// remember is told of a request that has ended, and may come back all the same, and how
// many bytes are kept with it.
func (rs *requests) remember(ex *exchange, size int) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !ex.entry.listed {
		return
	}
	rs.turns++
	ex.entry.turn = rs.turns
	rs.ended = append(rs.ended, ended{ex, rs.turns, size})
	rs.bytes += size
	for len(rs.ended) > rs.most || rs.bytes > mostEndedBytes {
		first := rs.ended[0]
		rs.ended[0] = ended{}
		rs.ended = rs.ended[1:]
		rs.bytes -= first.size
		if first.ex.entry.turn == first.turn && first.ex.ack.over() { // else it has come back since
			rs.drop(first.ex)
		}
	}
}

// sizeOf is about how many bytes are kept with the exchange.
func sizeOf(ex *exchange) int {
	n := retainedAtLeast + ex.d.HeaderSize() + len(ex.d.Body)
	if ex.response.publish != nil {
		n += len(ex.response.publish.Msg.Body)
	}
	return n
}
