package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/warren-rpc/warren"
)

// storedVersion is the first byte of what a server keeps, and the second says
// what it is. What has another version is not read.
const (
	storedVersion = 1
	storedReply   = 1
	storedError   = 2
)

// EncodeStored returns how a call ended, as a server's store keeps it: with a
// reply or an error, exactly one of which is not nil. The same end gives the same
// bytes. Errors are cut as [EncodeError] cuts them; of a reply what its handler
// chose is kept, all of it.
func EncodeStored(reply *warren.Reply, e *warren.Error) []byte {
	if e != nil {
		return encodeStoredError(bounded(e))
	}
	size := 64 + len(reply.ContentType) + len(reply.ContentEncoding) + len(reply.Body)
	for key, value := range reply.Header {
		size += 8 + len(key) + len(value)
	}
	b := append(make([]byte, 0, size), storedVersion, storedReply)
	b = appendPart(b, reply.ContentType)
	b = appendPart(b, reply.ContentEncoding)
	b = appendMap(b, reply.Header)
	return appendPart(b, reply.Body)
}

func encodeStoredError(e *warren.Error) []byte {
	b := []byte{storedVersion, storedError}
	b = appendPart(b, e.Code.String())
	b = appendPart(b, e.Reason)
	b = appendPart(b, e.Outcome.String())
	b = binary.AppendVarint(b, retryMillis(e.RetryAfter))
	b = appendPart(b, e.Incident)
	b = appendPart(b, e.Message)
	return appendMap(b, e.Details)
}

// appendPart appends s after its length.
func appendPart[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendMap appends the number of the pairs, and these in the order of their keys.
func appendMap(b []byte, pairs map[string]string) []byte {
	b = binary.AppendUvarint(b, uint64(len(pairs)))
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		b = appendPart(appendPart(b, key), pairs[key])
	}
	return b
}

// DecodeStored reads what [EncodeStored] wrote: exactly one of the reply and the
// error is not nil, unless b is something else, which is the second error. It takes
// memory in proportion to b. Body and nothing else of the reply aliases b. Neither
// has Replayed set.
func DecodeStored(b []byte) (*warren.Reply, *warren.Error, error) {
	if len(b) < 2 || b[0] != storedVersion {
		return nil, nil, errors.New("warren: the stored reply has a version that this side does not know")
	}
	r := &storedReader{rest: b[2:]}
	var reply *warren.Reply
	var e *warren.Error
	switch b[1] {
	case storedReply:
		reply = &warren.Reply{ContentType: r.text(), ContentEncoding: r.text(), Header: r.pairs(), Body: r.part()}
	case storedError:
		e = r.failure()
	default:
		r.fail("it is neither a reply nor an error")
	}
	if len(r.rest) > 0 {
		r.fail("something follows it")
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	return reply, e, nil
}

// storedReader takes parts from the front of rest. After its first error all parts
// are empty.
type storedReader struct {
	rest []byte
	err  error
}

func (r *storedReader) fail(why string) {
	if r.err == nil {
		r.err = fmt.Errorf("warren: the stored reply is damaged: %s", why)
	}
	r.rest = nil
}

// length reads a number that is at most what could follow it: parts of least bytes
// each.
func (r *storedReader) length(least int) int {
	n, width := binary.Uvarint(r.rest)
	// A length has one form: the shortest.
	if width <= 0 || width > 1 && r.rest[width-1] == 0 || n > uint64((len(r.rest)-width)/least) {
		r.fail("a length is wrong")
		return 0
	}
	r.rest = r.rest[width:]
	return int(n)
}

func (r *storedReader) part() []byte {
	n := r.length(1)
	part := r.rest[:n:n]
	r.rest = r.rest[n:]
	return part
}

func (r *storedReader) text() string { return string(r.part()) }

func (r *storedReader) pairs() map[string]string {
	n := r.length(2) // two lengths make a pair
	if n == 0 {
		return nil
	}
	pairs, last := map[string]string{}, ""
	for i := range n {
		key := r.text()
		if i > 0 && key <= last {
			r.fail("its headers or details are out of order")
		}
		if r.err != nil {
			return nil
		}
		pairs[key], last = r.text(), key
	}
	return pairs
}

func (r *storedReader) failure() *warren.Error {
	code, reason, outcome := r.text(), r.text(), r.part()
	ms, width := binary.Varint(r.rest)
	if width <= 0 || width > 1 && r.rest[width-1] == 0 || ms < -1 || ms > warren.MaxRetryAfter.Milliseconds() {
		r.fail("its retry-after is wrong")
		return nil
	}
	r.rest = r.rest[width:]
	e := &warren.Error{
		Reason: reason, RetryAfter: time.Duration(ms) * time.Millisecond,
		Incident: r.text(), Message: r.text(), Details: r.pairs(),
	}
	if e.Outcome.UnmarshalText(outcome) != nil {
		r.fail("its outcome is none")
	}
	var err error
	if e.Code, err = warren.ParseCode(code); err != nil {
		e.Code = warren.CodeUnknown // of a later version; still an error
	}
	b := bounded(e)
	if b.Reason != e.Reason || b.Incident != e.Incident || b.Message != e.Message || !maps.Equal(b.Details, e.Details) {
		r.fail("the error is out of bounds")
	}
	return e
}
