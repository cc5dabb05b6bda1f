package gateway

import (
	"io"
	"strings"
	"time"
)

const (
	// maxRest is what net/http reads of a body that nobody has read, before it answers,
	// so as to keep the connection.
	maxRest = 256 << 10
	// maxLinger bounds what is read of a body after its answer, and maxSilence how long
	// nothing of it may come.
	maxLinger  = 64 << 20
	maxSilence = 2 * time.Second
)

// lingers reports whether the connection ends with this answer while its caller, such
// as a proxy that passes on whole bodies, may still be sending: were it closed now, the
// caller would be told so at its next write, and not read the answer.
func (x *exchange) lingers() bool {
	waits := strings.EqualFold(x.r.Header.Get("Expect"), "100-continue") && x.received == 0
	if x.r.ProtoMajor != 1 || !x.unread || waits {
		return false
	}
	h := x.w.Header()
	if !x.r.ProtoAtLeast(1, 1) || x.r.Close || x.r.ContentLength < 0 || x.r.ContentLength > maxRest {
		h.Set("Connection", "close")
	}
	return h.Get("Connection") == "close"
}

// linger reads what still comes of a body that has been answered, as long as a body may
// take to arrive.
func (x *exchange) linger() {
	if x.control.Flush() != nil {
		return
	}
	rest, buffer := io.LimitReader(x.r.Body, maxLinger), make([]byte, 32<<10)
	for now := time.Now(); now.Before(x.bodyBy); now = time.Now() {
		_ = x.control.SetReadDeadline(now.Add(min(maxSilence, x.bodyBy.Sub(now))))
		if _, err := rest.Read(buffer); err != nil {
			return
		}
	}
}
