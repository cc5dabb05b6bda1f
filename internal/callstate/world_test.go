package callstate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/callstate"
	"github.com/warren-rpc/warren/internal/policy"
)

var begun = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// world is all that a call can meet: a breaker, a broker, servers and callers, which
// do what they may in any order. It holds the call to its rules at each step.
type world struct {
	t      testing.TB
	call   callstate.Call
	rules  policy.Policy
	oneWay bool
	now    time.Time
	at     callstate.Replies
	path   []move

	deadline time.Time
	waiters  int
	asked    bool
	sent     []*request
	judged   map[int]int
	refusals int
	unread   int  // attempts that a server did not read
	version  int  // in which attempts are written
	executed bool // a server has said so, of any attempt
	answered bool // by a reply
	observed int
	finished int
	denied   bool     // what happens says by itself that nothing was executed
	did      []string // the effects so far
}

// request is one attempt, as broker and servers see it.
type request struct {
	number   int
	written  bool
	settled  bool // the broker has said what became of it
	nobody   bool // it reached no server
	proven   bool
	answered bool // by an error
	version  int
	executed bool // a server has said so
	refused  bool // its last answer said that it was not
	queue    string
}

// scene is what is drawn for a world.
type scene struct {
	attempts   int
	idempotent bool
	oneWay     bool
	failNacked bool
	hedge      bool
	newer      bool // attempts are in a version that servers may not read
	budget     policy.BudgetPolicy
}

func newWorld(t testing.TB, s scene) *world {
	w := &world{t: t, rules: policy.Default(), oneWay: s.oneWay, now: begun, waiters: 1, asked: true, judged: map[int]int{}}
	if w.version = 1; s.newer {
		w.version = 2
	}
	w.rules.Idempotent = s.idempotent
	w.rules.Retry.Attempts = s.attempts
	w.rules.Retry.Jitter = false
	w.rules.Retry.FailNacked = s.failNacked
	w.deadline = begun.Add(w.rules.Timeout)
	budget := policy.NewBudget(s.budget)
	cfg := callstate.Config{OneWay: s.oneWay}
	if s.hedge {
		cfg.Hedge = policy.HedgePolicy{On: true, Delay: time.Second}
	}
	w.call.Begin(cfg, w.rules.Begin(begun, w.deadline, budget, policy.Overrides{}))
	return w
}

// move is one thing that may happen, to an attempt if it has a number.
type move struct {
	name   string
	number int
	do     func()
}

func (m move) String() string {
	if m.number == 0 {
		return m.name
	}
	return fmt.Sprintf("%s %d", m.name, m.number)
}

// moves are what may happen now, in an order that depends on nothing else.
func (w *world) moves() []move {
	var moves []move
	may := func(name string, do func()) { moves = append(moves, move{name: name, do: do}) }
	if w.asked {
		may("admitted", func() {
			w.asked = false
			ended, back := w.call.Ended(), w.judged[0]
			w.handle(callstate.Event{Kind: callstate.Admitted})
			if ended != (w.judged[0] == back+1) {
				w.fail("a ticket of no attempt is not given back, or another is")
			}
		})
		may("denied", func() {
			w.asked = false
			w.end(callstate.Denied, warren.ReasonBreakerOpen)
		})
	}
	for _, r := range w.sent {
		moves = append(moves, w.brokers(r)...)
		moves = append(moves, w.servers(r)...)
	}
	if r := w.unreadable(); r != nil {
		for _, outcome := range []warren.Outcome{warren.NotExecuted, warren.Unknown} {
			may("not read: "+outcome.String(), func() { w.notRead(r, outcome) })
		}
	}
	if w.call.Ended() {
		return moves
	}
	if wake := w.call.Wake(); !wake.IsZero() {
		may("timer", func() {
			w.now = later(w.now, wake)
			w.handle(callstate.Event{Kind: callstate.Timer})
			if again := w.call.Wake(); !again.IsZero() && !again.After(w.now) {
				w.fail("wakes at %v, again", again.Sub(begun))
			}
		})
	}
	may("deadline", func() {
		w.now = later(w.now, w.deadline)
		w.leave(warren.CodeDeadlineExceeded)
	})
	may("canceled", func() { w.leave(warren.CodeCanceled) })
	may("reply queue lost", func() {
		did, wake := len(w.did), w.call.Wake()
		w.handle(callstate.Event{Kind: callstate.ReplyQueueLost, Queue: "a"})
		if w.oneWay && (len(w.did) > did || !w.call.Wake().Equal(wake)) {
			w.fail("a call that gets no reply has lost it")
		}
	})
	may("unreachable", func() {
		w.end(callstate.Unreachable, warren.ReasonNotPermitted)
		if w.call.Ended() != (w.call.Written() == 0) {
			w.fail("%d are written; ended is %v", w.call.Written(), w.call.Ended())
		}
	})
	may("stopped", func() { w.end(callstate.Stopped, warren.ReasonClientClosed) })
	return moves
}

// end tells of what ends a call that has done nothing.
func (w *world) end(kind callstate.Kind, reason string) {
	w.denied = true
	w.handle(callstate.Event{Kind: kind, Err: notExecuted(reason)})
	w.denied = false
}

func notExecuted(reason string) *warren.Error {
	return &warren.Error{Code: warren.CodeUnavailable, Reason: reason, Outcome: warren.NotExecuted}
}

// brokers are what the broker may do with a request.
func (w *world) brokers(r *request) []move {
	if r.settled {
		return nil
	}
	moves := []move{{"write", r.number, func() { w.write(r) }}}
	settle := func(name string, kind callstate.Kind, reason string) {
		moves = append(moves, move{name, r.number, func() {
			e, ended := callstate.Event{Kind: kind, Attempt: r.number}, w.call.Ended()
			if reason != "" {
				e.Err, w.denied = notExecuted(reason), true
				r.nobody, r.proven = true, r.written
			}
			r.settled = true
			if kind == callstate.Confirmed {
				e.Reply = &warren.Reply{}
			}
			w.answered = w.answered || kind == callstate.Confirmed && w.oneWay
			if kind == callstate.Nacked {
				w.refusals++
			}
			w.handle(e)
			w.denied = false
			if kind == callstate.Blocked && w.call.Ended() == (w.unproven() > 0) && !ended {
				w.fail("%d may have been executed; ended is %v", w.unproven(), w.call.Ended())
			}
			if kind == callstate.Unsent && !w.call.Ended() {
				w.fail("it goes on without its send queue")
			}
			if kind == callstate.Confirmed && !ended && w.call.Ended() != w.oneWay {
				w.fail("confirmed; ended is %v", w.call.Ended())
			}
		}})
	}
	settle("blocked", callstate.Blocked, warren.ReasonBlocked)
	settle("closed", callstate.Unsent, warren.ReasonClientClosed)
	if r.written {
		settle("confirmed", callstate.Confirmed, "")
		settle("returned", callstate.Returned, warren.ReasonNoRoute)
		settle("nacked", callstate.Nacked, "")
		settle("lost", callstate.Lost, "")
		moves = append(moves, move{"not permitted", r.number, func() {
			r.settled = true
			w.handle(callstate.Event{Kind: callstate.Stopped, Attempt: r.number, Err: &warren.Error{
				Code: warren.CodePermissionDenied, Reason: warren.ReasonNotPermitted, Outcome: warren.Unknown,
			}})
		}})
	}
	return moves
}

// servers are what servers may answer to a request. One that has executed it does not
// say that it has not.
func (w *world) servers(r *request) []move {
	if !r.written || r.nobody || w.oneWay {
		return nil
	}
	var moves []move
	for _, a := range answers {
		if a.outcome == warren.NotExecuted && r.executed || a.outcome == warren.Executed && r.proven {
			continue
		}
		moves = append(moves, move{a.name, r.number, func() {
			e := callstate.Event{Kind: callstate.Answered, Attempt: r.number}
			if a.code == 0 {
				e.Reply = &warren.Reply{}
				w.answered = w.answered || !w.call.Ended()
			} else {
				e.Err = &warren.Error{Code: a.code, Outcome: a.outcome, RetryAfter: a.retryAfter, Remote: true}
				w.executed = w.executed || a.outcome == warren.Executed && !w.call.Ended()
			}
			r.answered = r.answered || a.code != 0
			r.executed = r.executed || a.outcome == warren.Executed
			r.proven = r.proven || a.outcome == warren.NotExecuted
			w.handle(e)
		}})
	}
	return moves
}

// unreadable is the request that is taken for the one which a server did not read.
func (w *world) unreadable() *request {
	for _, r := range w.sent {
		if r.written && !r.nobody && r.version == 2 && !r.answered && !r.proven && !w.oneWay {
			return r
		}
	}
	return nil
}

// notRead has a server not read a request; the others are written in another version.
func (w *world) notRead(r *request, outcome warren.Outcome) {
	w.version = 1
	if !w.call.Ended() {
		w.unread++
	}
	of := 0
	for _, r := range w.sent {
		if r.written && r.version == 2 {
			of++
		}
	}
	r.answered, r.proven = true, outcome == warren.NotExecuted && of == 1
	w.handle(callstate.Event{Kind: callstate.Unread, Version: 2, Err: &warren.Error{
		Code: warren.CodeInvalidArgument, Reason: warren.ReasonBadRequest, Outcome: outcome, Remote: true,
	}})
}

var answers = []struct {
	name       string
	code       warren.Code
	outcome    warren.Outcome
	retryAfter time.Duration
}{
	{"reply", 0, warren.Executed, 0},
	{"later", warren.CodeUnavailable, warren.NotExecuted, 0},
	{"no more", warren.CodeResourceExhausted, warren.NotExecuted, -1},
	{"failed", warren.CodeUnavailable, warren.Executed, 0},
	{"not found", warren.CodeNotFound, warren.Executed, 0},
	{"too late", warren.CodeDeadlineExceeded, warren.Unknown, 0},
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// leave has a caller leave. The call ends with the last of them, and only then.
func (w *world) leave(code warren.Code) {
	err := &warren.Error{Code: code, Outcome: warren.NotExecuted}
	w.waiters--
	w.denied = true
	w.handle(callstate.Event{Kind: callstate.Left, Err: err})
	switch {
	case w.call.Ended() != (w.waiters == 0):
		w.fail("%d wait; ended is %v", w.waiters, w.call.Ended())
	case w.waiters > 0 && err.Outcome != warren.Unknown:
		w.fail("one who left is told %v", err.Outcome)
	}
}

// write hands a request to a connection, unless the call does not let it out.
func (w *world) write(r *request) {
	ended := w.call.Ended()
	r.queue = "a"
	writing, ok := w.call.Write(w.now, r.number, r.queue, w.version)
	switch {
	case ok && (ended || !w.now.Before(w.deadline)):
		w.fail("attempt %d goes out after the end", r.number)
	case !ok && !ended && w.now.Before(w.deadline):
		w.fail("attempt %d does not go out", r.number)
	case ok && writing.Again != r.written:
		w.fail("attempt %d: %+v", r.number, writing)
	case !ok:
		r.settled, r.nobody, r.proven = true, true, r.written
		w.handle(callstate.Event{Kind: callstate.Unsent, Attempt: r.number})
		return
	}
	r.written, r.version = true, w.version
	w.check()
}

func (w *world) handle(e callstate.Event) {
	ended := w.call.Ended()
	again := e.Kind == callstate.Answered && e.Err != nil && e.Err.Outcome == warren.NotExecuted && w.sent[e.Attempt-1].refused
	if e.Kind == callstate.Answered {
		w.sent[e.Attempt-1].refused = e.Err != nil && e.Err.Outcome == warren.NotExecuted
	}
	for _, effect := range w.call.Handle(callstate.Moment{Now: w.now, Replies: w.at}, e, nil) {
		w.did = append(w.did, w.tell(effect))
		if again {
			w.fail("effect %+v of an answer that came twice", effect)
		}
		if (w.finished > 0 || ended) && effect.Do != callstate.Judge {
			w.fail("effect %+v after the end", effect)
		}
		switch effect.Do {
		case callstate.Ask:
			if w.asked {
				w.fail("asks the breaker twice")
			}
			w.asked = true
		case callstate.Publish:
			w.publish(effect.Attempt)
		case callstate.Judge:
			w.judged[effect.Attempt]++
		case callstate.Observe:
			w.observed++
		case callstate.Finish:
			w.finished++
		}
	}
	if w.finished > 0 {
		w.finished = 0
		w.ended()
	} else if !ended && w.call.Ended() {
		w.fail("ended, and does not say so")
	}
	w.check()
}

// publish is what must hold when another attempt is made.
func (w *world) publish(number int) {
	if n := len(w.sent); n > 0 && !w.sent[n-1].written {
		if !w.sent[n-1].settled {
			w.fail("attempt %d while another is queued", number)
		}
		w.sent = w.sent[:n-1]
	}
	if number != len(w.sent)+1 {
		w.fail("attempt %d follows %d", number, len(w.sent))
	}
	for _, r := range w.sent {
		if !w.rules.Idempotent && !r.proven {
			w.fail("attempt %d, and %d may have been executed", number, r.number)
		}
	}
	w.sent = append(w.sent, &request{number: number})
	delete(w.judged, number)
}

// check is what holds at any time.
func (w *world) check() {
	written, refusals := 0, min(w.refusals, 10)
	for _, r := range w.sent {
		if r.written {
			written++
		}
	}
	switch {
	case w.call.Written() != written:
		w.fail("%d written; it says %d", written, w.call.Written())
	case written > w.rules.Retry.Attempts+refusals+w.unread:
		w.fail("%d attempts, of which %d were refused by the broker, and %d not read", written, w.refusals, w.unread)
	case w.call.Ended() && !w.call.Wake().IsZero():
		w.fail("wakes after the end")
	}
	for number, n := range w.judged {
		if n > 1 && number > 0 {
			w.fail("attempt %d was judged %d times", number, n)
		}
	}
}

// ended is what holds when the call has ended.
func (w *world) ended() {
	reply, err := w.call.Result()
	unproven := w.unproven()
	for _, r := range w.sent {
		if w.judged[r.number] != 1 && (r.written || !r.settled) {
			w.fail("attempt %d was judged %d times", r.number, w.judged[r.number])
		}
	}
	switch {
	case (reply == nil) == (err == nil):
		w.fail("ended with %v and %v", reply, err)
	case reply != nil && !w.answered:
		w.fail("a reply that nobody sent")
	case reply != nil && reply.Attempts != max(w.call.Written(), 1):
		w.fail("%d attempts; the reply says %d", w.call.Written(), reply.Attempts)
	case reply != nil && !w.oneWay && w.observed != 1, reply == nil && w.observed != 0:
		w.fail("%d latencies were observed", w.observed)
	case err == nil:
	case err.Attempts != w.call.Written():
		w.fail("%d attempts; the error says %d", w.call.Written(), err.Attempts)
	case (err.Outcome == warren.Executed) != w.executed:
		w.fail("executed is %v; the error says %v", w.executed, err.Outcome)
	case err.Outcome == warren.NotExecuted && unproven > 0:
		w.fail("not executed, it says; %d attempts may have been", unproven)
	case w.denied && err.Outcome == warren.Unknown && unproven == 0:
		w.fail("unknown, it says; all attempts are proven not to have been executed")
	}
}

// unproven is how many attempts may have been executed, for all that is known.
func (w *world) unproven() int {
	n := 0
	for _, r := range w.sent {
		if r.written && !r.proven {
			n++
		}
	}
	return n
}

// tell says an effect in words.
func (w *world) tell(e callstate.Effect) string {
	switch e.Do {
	case callstate.Ask:
		return "ask"
	case callstate.Publish:
		return fmt.Sprintf("publish %d", e.Attempt)
	case callstate.Judge:
		return fmt.Sprintf("judge %d %s", e.Attempt, e.Result)
	case callstate.Observe:
		return "observe " + e.Latency.String()
	default:
		_, err := w.call.Result()
		if err == nil {
			return "finish"
		}
		return fmt.Sprintf("finish %s/%s %s", err.Code, err.Reason, err.Outcome)
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("after %q: %s", w.path, fmt.Sprintf(format, args...))
}

// step makes one of the moves.
func (w *world) step(m move) {
	w.path = append(w.path, m)
	m.do()
}
