package history

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
)

// Recorder writes the calls of a process's clients to its log. All methods are safe
// for concurrent use.
type Recorder struct {
	log  *Log
	read func(*warren.Reply) Answer
	last atomic.Uint64 // Number
}

// Answer is what a reply says in a workload's own terms.
type Answer struct {
	Echo     string // the call that it says it answers, or empty
	Value    string // what was read or found
	NoEffect bool   // it says that nothing was changed
}

// NewRecorder returns a recorder. read says what a reply means; nil means that it
// says nothing.
func NewRecorder(log *Log, read func(*warren.Reply) Answer) *Recorder {
	if read == nil {
		read = func(*warren.Reply) Answer { return Answer{} }
	}
	return &Recorder{log: log, read: read}
}

// Call describes a call that is about to be made.
type Call struct {
	Client string // who makes it; one call at a time
	// CallID names it. Default: a UUID.
	CallID string
	Method string
	Mode   string // as server.Mode has it in text
	Op     Op
	// Timeout, above 0, ends the context that Do gives to its function, if the
	// caller's does not end earlier.
	Timeout time.Duration
	// Poison says that the call is made to be parked, Unserved that nobody serves its
	// method, Refused that the broker does not take the request.
	Poison, Unserved, Refused bool
}

// Do records the call, makes it by calling fn once, and records its end. fn must
// use the context and the call ID that it is given; its error and its reply are
// returned. What fn is not told by an [*warren.Error] is taken for an unknown
// outcome.
//
// The call event is on disk before fn begins, so an effect is always of a recorded
// call; if it cannot be written, fn is not called. The end is recorded also if fn
// panics, as internal/panic, or ends its goroutine. If it cannot be written, the
// error is joined with fn's.
//
// The time of writing is not in the end's Took, and is in the time between the two
// events, so that it never makes operations look less concurrent than they were.
// It counts towards the timeout.
func (r *Recorder) Do(
	ctx context.Context, c Call, fn func(ctx context.Context, callID string) (*warren.Reply, error),
) (reply *warren.Reply, err error) {
	if c.CallID == "" {
		c.CallID = uuid.NewString()
	}
	begin := Event{
		Kind: KindCall, Client: c.Client, CallID: c.CallID, Number: r.last.Add(1), Method: c.Method, Mode: c.Mode,
		Op: &c.Op, Poison: c.Poison, Unserved: c.Unserved, Refused: c.Refused,
	}
	begin.At, begin.Wall = r.log.Now()
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	if deadline, ok := ctx.Deadline(); ok {
		begin.Deadline = begin.At + time.Until(deadline)
	}
	if err := r.log.Append(begin); err != nil {
		return nil, err
	}

	started, returned := time.Now(), false
	defer func() {
		end := Event{Kind: KindEnd, Client: c.Client, CallID: c.CallID, Number: begin.Number, Took: time.Since(started)}
		end.At, end.Wall = r.log.Now()
		switch {
		case !returned:
			end.Code, end.Reason = warren.CodeInternal.String(), warren.ReasonPanic
			end.Text = "the client's own code panicked or ended its goroutine"
		case err != nil:
			end.fail(err)
		default:
			end.succeed(reply, r.read)
		}
		err = withLost(err, r.log.Append(end))
	}()
	reply, err = fn(ctx, c.CallID)
	returned = true
	return reply, err
}

// Resolve asks by fn what became of a call, and records what it is told. It is
// recorded, too, that it was not told.
func (r *Recorder) Resolve(
	ctx context.Context, method, callID string, fn func(ctx context.Context) (*client.Resolution, error),
) (*client.Resolution, error) {
	resolution, err := fn(ctx)
	e := Event{Kind: KindResolve, Method: method, CallID: callID}
	e.At, e.Wall = r.log.Now()
	switch {
	case err != nil:
		e.fail(err)
		e.Outcome, e.Digest = warren.Unknown, ""
	default:
		e.State, e.Outcome = string(resolution.State), resolution.Outcome
		if resolution.Reply != nil {
			answer := r.read(resolution.Reply)
			e.Digest, e.Echo = Digest(resolution.Reply), answer.Echo
			e.Value, e.NoEffect = answer.Value, answer.NoEffect
		}
		if resolution.Err != nil {
			e.Code, e.Reason, e.Text = resolution.Err.Code.String(), resolution.Err.Reason, resolution.Err.Message
			e.Digest = ErrorDigest(resolution.Err)
		}
	}
	return resolution, withLost(err, r.log.Append(e))
}

// withLost adds to err, as it is otherwise, that its event is lost.
func withLost(err, lost error) error {
	if lost == nil {
		return err
	}
	return errors.Join(err, lost)
}

func (e *Event) succeed(reply *warren.Reply, read func(*warren.Reply) Answer) {
	e.OK = true
	if reply == nil {
		return // a notification
	}
	answer := read(reply)
	e.Echo, e.Value, e.NoEffect = answer.Echo, answer.Value, answer.NoEffect
	e.Replayed, e.Attempts, e.Digest = reply.Replayed, reply.Attempts, Digest(reply)
}

func (e *Event) fail(err error) {
	told, ok := warren.AsError(err)
	if !ok {
		e.Code, e.Text = warren.CodeUnknown.String(), err.Error()
		return
	}
	e.Code, e.Reason, e.Text, e.Outcome = told.Code.String(), told.Reason, told.Message, told.Outcome
	e.Remote, e.Replayed, e.Attempts = told.Remote, told.Replayed, told.Attempts
	// Other errors are of this attempt, and need not come again.
	if told.Remote && told.Outcome == warren.Executed {
		e.Digest = ErrorDigest(told)
	}
}

// digestSize is in bytes: nobody looks for collisions.
const digestSize = 16

// Digest tells replies apart by what a replay must repeat: body, content type and
// encoding. 32 hexadecimal digits.
func Digest(r *warren.Reply) string {
	return digest(r.ContentType, r.ContentEncoding, string(r.Body))
}

// ErrorDigest tells errors apart by what a replay must repeat: code, reason,
// outcome, message and incident. 32 hexadecimal digits.
func ErrorDigest(e *warren.Error) string {
	return digest("error", e.Code.String(), e.Reason, e.Outcome.String(), e.Message, e.Incident)
}

func digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = io.WriteString(h, strconv.Itoa(len(part))+":"+part)
	}
	return hex.EncodeToString(h.Sum(nil)[:digestSize])
}
