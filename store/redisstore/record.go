package redisstore

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/warren-rpc/warren/store"
)

// A token is made of the number that the record got when it was made, which no other
// record ever has, and of how many claims came after the first.
const turnBits = 20

func tokenParts(token uint64) (base, turn string) {
	return strconv.FormatUint(token>>turnBits, 10), strconv.FormatUint(token&(1<<turnBits-1), 10)
}

// micros is a time as scripts have it.
func micros(t time.Time) string { return strconv.FormatInt(t.UnixMicro(), 10) }

// span is a duration as scripts have it: whole microseconds, and none is 0.
func span(d time.Duration) string {
	return strconv.FormatInt((d + time.Microsecond - 1).Microseconds(), 10)
}

// answer is what a script has returned.
type answer struct {
	word    string
	changes uint64 // how many this owner has made
	record  []any
}

var errReply = errors.New("a script has returned something else than it does")

func parseAnswer(reply []any) (a answer, err error) {
	if len(reply) != 3 {
		return a, errReply
	}
	word, isWord := reply[0].(string)
	record, isRecord := reply[2].([]any)
	if !isWord || !isRecord {
		return a, errReply
	}
	a.word, a.record = word, record
	a.changes, err = strconv.ParseUint(fmt.Sprint(reply[1]), 10, 64)
	return a, err
}

// fields reads what a script has returned, one after the other.
type fields struct {
	left []any
	err  error
}

// next returns a field, and false if the record does not have it.
func (f *fields) next() (any, bool) {
	if len(f.left) == 0 {
		return nil, false
	}
	v := f.left[0]
	f.left = f.left[1:]
	return v, v != nil
}

func (f *fields) text() string {
	v, _ := f.next()
	s, _ := v.(string)
	return s
}

func (f *fields) number() int64 {
	v, there := f.next()
	switch n := v.(type) {
	case int64:
		return n
	case string:
		i, err := strconv.ParseInt(n, 10, 64)
		f.err = errors.Join(f.err, err)
		return i
	}
	if there {
		f.err = errors.Join(f.err, errReply)
	}
	return 0
}

func (f *fields) time() time.Time {
	if n := f.number(); n != 0 {
		return time.UnixMicro(n)
	}
	return time.Time{}
}

// parseRecord reads what view in common.lua has written.
func parseRecord(key store.Key, values []any) (store.Record, error) {
	r := store.Record{Key: key}
	if len(values) == 0 {
		return r, nil
	}
	f := fields{left: values}
	r.State = store.State(f.number())
	r.Token = uint64(f.number())<<turnBits | uint64(f.number())
	r.Attempts = int(f.number())
	r.First = f.number() == 1
	r.Owner = f.text()
	r.Lease, r.Created, r.Updated, r.Expires = f.time(), f.time(), f.time(), f.time()
	copy(r.Fingerprint[:], f.text())
	r.Method, r.CallID = f.text(), f.text()
	r.Size = int(f.number())
	copy(r.Digest[:], f.text())
	if payload, kept := f.next(); kept {
		text, _ := payload.(string)
		r.Payload, r.Retained = []byte(text), true
	}
	return r, f.err
}
