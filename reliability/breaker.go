package reliability

import (
	"context"
	"errors"
	"time"

	"github.com/warren-rpc/warren/internal/policy"
)

// Breaker refuses the calls of one method while too many of them fail, or are
// slow, so that callers get their answer at once and the server some rest. A
// client has one for each method; [NewBreaker] makes one for a function.
//
// Closed, it judges each result: once the window holds Volume calls of which
// Failures failed, or Slow were slow, it opens. Open, it refuses for the policy's
// Open, whatever results arrive late. Half open, it lets Probes calls through, no
// more, until these have ended. All must succeed: then it closes, and the window
// begins empty. The first that fails opens it again, and so does slowness of Slow
// of the probes.
//
// Results of calls that were let through in an earlier state are ignored: a late
// failure does not open a breaker that has closed since, a late success does not
// close one that has opened. All methods are safe for concurrent use.
type Breaker policy.Breaker

// State says what a [Breaker] does with calls. Its String is "closed", "half_open",
// "open", "forced_open" or "forced_closed".
type State = policy.State

const (
	Closed       = policy.Closed       // calls go through and their results are judged
	HalfOpen     = policy.HalfOpen     // a few calls go through, as probes; the others are refused
	Open         = policy.Open         // calls are refused until the open period has passed
	ForcedOpen   = policy.ForcedOpen   // calls are refused until an operator's Release
	ForcedClosed = policy.ForcedClosed // calls go through until an operator's Release; their results are counted, not judged
)

// Change tells of one transition of a [Breaker].
type Change struct {
	Method   string
	From, To State
	At       time.Time
	// Calls, and of these Failures and Slow, are what was in view in the state From:
	// those of the rolling window while it was closed, the probes while it was half
	// open. A call that failed slowly is among both.
	Calls, Failures, Slow int
}

// NewBreaker returns a closed breaker. What p does not say is the default.
//
// If onChange is not nil it is told of every change, each once and in order,
// outside all locks: it may call the breaker. It is called by a goroutine whose call
// made a change, and delays it: keep it short.
func NewBreaker(name string, p BreakerPolicy, onChange func(Change)) *Breaker {
	var tell func(policy.Change)
	if onChange != nil {
		tell = func(c policy.Change) { onChange(Change(c)) }
	}
	return (*Breaker)(policy.NewBreaker(name, policy.Of(Policy{Breaker: p}).Breaker, tell))
}

// Do calls fn if the breaker allows it, and returns its error, or
// unavailable/breaker_open, NotExecuted, with what is left of the open period as
// RetryAfter. An error of fn counts as that of a call does: what says nothing of
// whether the method works, such as a bad request, is ignored; any error that is no
// *warren.Error is a failure, and so is a panic. Once ctx is cancelled an error is
// the cancellation's. That ctx's deadline passed is a failure: it should be no
// caller's own.
func (b *Breaker) Do(ctx context.Context, fn func(context.Context) error) error {
	ticket, refusal := b.inner().Allow(time.Now())
	if refusal != nil {
		return refusal
	}
	result := policy.Failure
	defer func() { b.inner().Done(ticket, time.Now(), result) }()
	err := fn(ctx)
	result = policy.Classify(err)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		result = policy.Ignored
	}
	return err
}

// State returns the present state. A breaker whose open period is over is half
// open, and onChange hears of it when the next call comes.
func (b *Breaker) State() State { return b.inner().State(time.Now()) }

// Force holds the breaker in ForcedOpen or ForcedClosed until Release or another
// Force, whatever its policy says, Off included. Results of calls that are in
// flight are ignored, and the counts begin again. Any other state, and that which it
// is forced into already, is ignored.
func (b *Breaker) Force(s State) { b.inner().Force(time.Now(), s) }

// Release lets go of a forced breaker. From ForcedOpen it goes on half open,
// because nobody has tried the method meanwhile (closed, if its policy is Off);
// from ForcedClosed it goes on closed. Results of calls that are in flight are
// ignored, and the counts begin again. A breaker that is not forced is left alone.
func (b *Breaker) Release() { b.inner().Release(time.Now()) }

func (b *Breaker) inner() *policy.Breaker { return (*policy.Breaker)(b) }
