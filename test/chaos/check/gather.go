package check

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// digest is a history's, without its text. The zero one is of no answer.
type digest [16]byte

func digestOf(text string) (d digest) {
	if text == "" {
		return digest{}
	}
	if n, err := hex.Decode(d[:], []byte(text)[:min(len(text), 2*len(d))]); err == nil && n == len(d) && len(text) == 2*n {
		return d
	}
	sum := sha256.Sum256([]byte(text))
	return digest(sum[:len(d)])
}

// call is all that is known of a call ID.
type call struct {
	id, method  string
	mode        server.Mode
	made        int         // call events
	op          *history.Op // of those that a workload's own check needs
	readOnly    bool
	poison      bool
	parked      bool
	copied      bool
	last        last // attempt of those that a server has begun
	untold      bool
	invocations []invocation
	resolutions []resolution
	effects     int
	lastEffect  time.Duration
	did         []digest // answers that effects are said to have given
	methods     []string // that effects are said to be of
}

// invocation is one time that a client made the call.
type invocation struct {
	process             string
	number              uint64
	client              string
	calls, ends         int
	at, deadline, ended time.Duration
	ok, replayed        bool
	noEffect, astray    bool // astray: the reply says that it is another call's
	unserved, refused   bool // what must come of it
	timedOut            bool
	echoed              bool
	outcome             warren.Outcome
	digest              digest
	value               string
}

type resolution struct {
	at             time.Duration
	state          string
	outcome        warren.Outcome
	digest         digest
	value          string
	noEffect       bool
	echoed, astray bool
}

// last is where and when the last attempt of a call was begun, after which it is parked.
type last struct {
	process string
	at      time.Duration
}

// gathered is what the first reading of a history leaves.
type gathered struct {
	o        Options
	report   Report
	modes    map[string]server.Mode
	names    map[string]string // one copy of each process, client and method
	calls    map[string]*call
	order    []*call // as they were first seen
	last     time.Duration
	low, top time.Duration // Wall less At, from the first event's
	zero     time.Time     // the first event's Wall less At
	faults   faults
	success  []time.Duration // ends of calls that succeeded
	begun    []time.Duration // begins of calls that could
	samples  samples
	accounts map[string]*account
	// snapshots are sums of all accounts, read on the way.
	snapshots map[string]int64
	deadRead  map[string]bool // methods
	poisoned  map[string]bool // processes that a poison has ended
	owners    map[string]life // by what their stores call them
	takeovers []takeover
	intruded  int // effects that servers with another store had
	timeline  timeline
}

func newGathered(o Options) *gathered {
	g := &gathered{
		o: o, modes: map[string]server.Mode{"": o.Mode}, names: map[string]string{}, calls: map[string]*call{},
		accounts: map[string]*account{}, snapshots: map[string]int64{}, deadRead: map[string]bool{},
		poisoned: map[string]bool{}, owners: map[string]life{}, samples: newSamples(), faults: newFaults(),
	}
	g.report.Errors = map[string]int{}
	for m := server.AtLeastOnce; m <= server.NotDeduped; m++ {
		g.modes[m.String()] = m
	}
	return g
}

// take adds an event. It fails if the event is none that the harness writes.
func (g *gathered) take(e *history.Event) error {
	g.report.Events++
	g.last = max(g.last, e.At)
	g.clock(e)
	switch e.Kind {
	case history.KindCall:
		return g.made(e)
	case history.KindEnd:
		g.ended(e)
	case history.KindResolve:
		g.resolved(e)
	case history.KindEffect:
		g.effect(e)
	case history.KindState:
		return g.state(e)
	case history.KindFault:
		if e.Fault == nil {
			return fmt.Errorf("check: the fault of %s at %v has no name", e.Process, e.At)
		}
		g.faults.take(e)
	case history.KindSample:
		if e.Sample == nil {
			return fmt.Errorf("check: the sample of %s at %v has no figures", e.Process, e.At)
		}
		g.samples.take(e)
	case history.KindNote:
		switch e.Note {
		case history.NoteParked:
			g.call(e).parked = true
		case history.NoteLastAttempt:
			if c := g.call(e); e.At >= c.last.at {
				c.last = last{g.one(e.Process), e.At}
			}
		case history.NoteCopied:
			g.call(e).copied = true
		case history.NoteOwner:
			g.owners[e.Owner] = life{g.one(e.Process), e.At}
		case history.NoteTakeover:
			g.takeovers = append(g.takeovers, takeover{g.call(e), g.one(e.Owner), e.At})
		case history.NotePoison:
			g.poisoned[e.Process] = true
		case history.NoteUntold:
			g.call(e).untold = true
		case history.NoteDeadQueueRead:
			g.deadRead[e.Method] = true
		}
	default:
		return fmt.Errorf("check: an event of %s at %v has the unknown kind %q", e.Process, e.At, e.Kind)
	}
	return nil
}

func (g *gathered) clock(e *history.Event) {
	if e.Wall.IsZero() {
		return
	}
	start := e.Wall.Add(-e.At)
	if g.zero.IsZero() {
		g.zero = start
	}
	d := start.Sub(g.zero)
	g.low, g.top = min(g.low, d), max(g.top, d)
}

func (g *gathered) skew() time.Duration { return g.top - g.low }

// one returns s in a copy that all events share.
func (g *gathered) one(s string) string {
	if known, ok := g.names[s]; ok {
		return known
	}
	g.names[s] = s
	return s
}

func (g *gathered) call(e *history.Event) *call {
	c := g.calls[e.CallID]
	if c == nil {
		c = &call{id: e.CallID, mode: g.o.Mode}
		g.calls[e.CallID] = c
		g.order = append(g.order, c)
	}
	return c
}

// invocation returns the one that the event is of. A call is made once, as a rule.
func (g *gathered) invocation(c *call, e *history.Event) *invocation {
	for i := range c.invocations {
		if v := &c.invocations[i]; v.number == e.Number && v.process == e.Process {
			return v
		}
	}
	c.invocations = append(c.invocations, invocation{process: g.one(e.Process), number: e.Number, client: g.one(e.Client)})
	return &c.invocations[len(c.invocations)-1]
}

func (g *gathered) made(e *history.Event) error {
	mode, ok := g.modes[e.Mode]
	if !ok {
		return fmt.Errorf("check: call %s has the unknown mode %q", e.CallID, e.Mode)
	}
	c := g.call(e)
	c.made++
	c.mode, c.method, c.poison = mode, g.one(e.Method), c.poison || e.Poison
	if op := e.Op; op != nil {
		c.readOnly = op.ReadOnly || op.Name == history.OpRead
		switch op.Name {
		case history.OpRead, history.OpWrite, history.OpCAS:
			c.op = op
		}
	}
	v := g.invocation(c, e)
	v.calls++
	v.at, v.deadline, v.unserved, v.refused = e.At, e.Deadline, e.Unserved, e.Refused
	if !e.Poison && !e.Unserved && !e.Refused {
		g.begun = append(g.begun, e.At)
	}
	g.report.Calls++
	return nil
}

func (g *gathered) ended(e *history.Event) {
	v := g.invocation(g.call(e), e)
	v.ends++
	v.ended, v.ok, v.outcome = e.At, e.OK, e.Outcome
	v.replayed, v.noEffect = e.Replayed, e.NoEffect
	v.timedOut = !e.OK && !e.Remote && e.Outcome == warren.Unknown && e.Code == warren.CodeDeadlineExceeded.String() &&
		e.Reason != warren.ReasonNacked
	v.digest, v.value = digestOf(e.Digest), e.Value
	v.echoed, v.astray = e.Echo != "", e.Echo != "" && e.Echo != e.CallID
	if e.OK {
		g.report.Succeeded++
		g.success = append(g.success, e.At)
	} else {
		name := e.Code
		if e.Reason != "" {
			name += "/" + e.Reason
		}
		g.report.Errors[name]++
	}
	g.timeline.end(e)
}

func (g *gathered) resolved(e *history.Event) {
	if e.State == "" {
		return // it was not told
	}
	c := g.call(e)
	c.resolutions = append(c.resolutions, resolution{
		at: e.At, state: g.one(e.State), outcome: e.Outcome, digest: digestOf(e.Digest), value: e.Value, noEffect: e.NoEffect,
		echoed: e.Echo != "", astray: e.Echo != "" && e.Echo != e.CallID,
	})
	g.report.Resolved++
}

func (g *gathered) effect(e *history.Event) {
	if history.IsProcess(e.Process, Intruder) {
		g.intruded++
	}
	c := g.call(e)
	c.effects++
	c.lastEffect = max(c.lastEffect, e.At)
	if d := digestOf(e.Digest); d != (digest{}) {
		c.did = append(c.did, d)
	}
	if e.Method != "" {
		if m := g.one(e.Method); !slices.Contains(c.methods, m) {
			c.methods = append(c.methods, m)
		}
	}
	if op := e.Op; op != nil && op.Name == history.OpTransfer {
		g.account(op.Key).moved -= op.Amount
		g.account(op.To).moved += op.Amount
	}
	g.report.Effects++
}

func (g *gathered) state(e *history.Event) error {
	n, err := strconv.ParseInt(e.Value, 10, 64)
	if err != nil {
		return fmt.Errorf("check: the balance of account %q: %w", e.Key, err)
	}
	switch e.Phase {
	case history.PhaseBegin:
		g.account(e.Key).begin = &n
	case history.PhaseEnd:
		g.account(e.Key).end = &n
	case history.PhaseOnce:
		g.snapshots[e.CallID] += n
	}
	return nil
}
