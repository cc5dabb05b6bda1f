package amqptest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// faults are the rules of a broker, and the record of what they looked at. The zero value has no rules and records with
// the default limits.
type faults struct {
	rules  atomic.Pointer[[]*Fault] // in the order of Inject; replaced, never changed
	frames atomic.Int32             // how many of them look at single frames

	mu sync.Mutex // guards the rules' counts and the numbering and recording of events
	record

	seed  uint64 // set by equip
	drawn int
}

// equip takes the options that concern faults.
func (b *Broker) equip(o *Options) error {
	fs := &b.faults
	fs.limit, fs.maxBytes = o.RecordLimit, o.RecordBytes
	rules, err := o.rules(fs)
	if err != nil {
		return err
	}
	for i, r := range rules {
		if err := r.Validate(); err != nil {
			return fmt.Errorf("amqptest: Faults[%d]: %w", i, err)
		}
	}
	for _, r := range rules {
		b.Inject(r)
	}
	return nil
}

// rules are those that are given, and then those that are drawn.
func (o *Options) rules(fs *faults) ([]Rule, error) {
	rules := slices.Clone(o.Faults)
	if o.Plan == nil && o.Seed == 0 {
		return rules, nil
	}
	var plan Plan
	if o.Plan != nil {
		plan = *o.Plan
	}
	seed, err := chooseSeed(o.Seed)
	if err != nil {
		return nil, err
	}
	drawn, err := plan.draw(seed)
	if err != nil {
		return nil, fmt.Errorf("amqptest: Plan: %w", err)
	}
	fs.seed, fs.drawn = seed, len(drawn)
	return append(rules, drawn...), nil
}

// Fault is a rule that was injected. Its methods are safe for concurrent use.
type Fault struct {
	b     *Broker
	rule  Rule
	label string
	match *matcher

	fired   chan struct{} // closed when it has met an event
	removed chan struct{} // closed by Remove

	// guarded by faults.mu
	matches, meetings int
	gone              bool
}

// Inject puts a rule into force. From now on it looks at every event. Rules are asked in the order in which they were
// injected: each counts its matches on its own, whatever the others do. If several meet the same
// event, all that they do is done: delays and copies add up, and where two exclude each other, as two fates of a
// confirm do, the first decides. This is the order: Do's functions, Delay, Reorder, SeverBefore, CloseConnection
// and CloseChannel, Drop, Nack and Return, the event itself with its copies, then what comes after an event: CancelConsumer,
// Block and Restart, SeverAfter, StallReading, HalfOpen. Of SeverBefore, a close, Drop and the event only the first that
// is asked for takes place; what comes after the event follows in any case.
//
// Events are numbered, matched and counted one at a time, so a rule's n-th match is well defined. For a program with one
// connection that does one thing at a time the same rules meet the same events in each run. Several connections, or
// the two directions of one, race unless When names one of them.
//
// Inject panics if a rule is not valid, see Rule.Validate.
func (b *Broker) Inject(rule Rule) *Fault {
	m, err := rule.compile()
	if err != nil {
		panic(fmt.Sprintf("amqptest: Inject: %v", err))
	}
	rule.Then = slices.Clone(rule.Then)
	f := &Fault{
		b: b, rule: rule, label: rule.label(), match: m,
		fired: make(chan struct{}), removed: make(chan struct{}),
	}
	b.faults.mu.Lock()
	defer b.faults.mu.Unlock()
	b.faults.replace(func(rules []*Fault) []*Fault { return append(rules, f) })
	if m.frames() {
		b.faults.frames.Add(1)
	}
	return f
}

func (fs *faults) replace(change func([]*Fault) []*Fault) {
	var rules []*Fault
	if old := fs.rules.Load(); old != nil {
		rules = slices.Clone(*old)
	}
	rules = change(rules)
	fs.rules.Store(&rules)
}

// Rule is the rule that was injected.
func (f *Fault) Rule() Rule { return f.rule }

// String is the rule's name, or else its text.
func (f *Fault) String() string { return f.label }

// Matches is how many events the rule has matched so far, met or not.
func (f *Fault) Matches() int {
	f.b.faults.mu.Lock()
	defer f.b.faults.mu.Unlock()
	return f.matches
}

// Fired is how many events the rule has met so far. What it does to an event follows its being counted.
func (f *Fault) Fired() int {
	f.b.faults.mu.Lock()
	defer f.b.faults.mu.Unlock()
	return f.meetings
}

// Wait waits until the rule has met an event. It fails if ctx ends, the rule is removed or the broker closed before
// that.
func (f *Fault) Wait(ctx context.Context) error {
	select {
	case <-f.fired:
		return nil
	default:
	}
	var err error
	select {
	case <-f.fired:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-f.removed:
		err = errors.New("it was removed")
	case <-f.b.closed:
		err = errClosed
	}
	return fmt.Errorf("amqptest: fault %q has met none of its %d matches: %w", f.label, f.Matches(), err)
}

// Remove takes the rule out of force. What it has already done to events goes on: delays, for one.
func (f *Fault) Remove() {
	fs := &f.b.faults
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.gone {
		return
	}
	f.gone = true
	close(f.removed)
	if f.match.frames() {
		fs.frames.Add(-1)
	}
	fs.replace(func(rules []*Fault) []*Fault {
		return slices.DeleteFunc(rules, func(other *Fault) bool { return other == f })
	})
}

// meets counts a match and says whether the rule meets it. The caller holds the lock.
func (f *Fault) meets() bool {
	if f.gone {
		return false
	}
	f.matches++
	if !f.rule.meets(f.matches, f.meetings) {
		return false
	}
	f.meetings++
	if f.meetings == 1 {
		close(f.fired)
	}
	return true
}

// watch numbers and records an event and asks the rules about it. It is called for every method with its content and
// every heartbeat: FromClient before it is executed, FromBroker before it is written. It may sleep in a user's
// function, so no lock of the broker's state is held. Events are made by the connection's source.
func (b *Broker) watch(ev *Event) decision {
	rules := b.faults.rules.Load()
	if rules == nil || len(*rules) == 0 {
		b.faults.mu.Lock()
		b.faults.add(ev)
		b.faults.mu.Unlock()
		return decision{}
	}
	return b.judge(ev, *rules, false)
}

// watchesFrames says whether a rule asks about single frames; watchFrame is called for them only then. Of its decision,
// drop, delay, copies, corrupt and severing count.
func (b *Broker) watchesFrames() bool { return b.faults.frames.Load() > 0 }

func (b *Broker) watchFrame(ev *Event) decision {
	rules := b.faults.rules.Load()
	if rules == nil {
		return decision{}
	}
	return b.judge(ev, *rules, true)
}

// judge asks the rules about an event. Users' functions are called without the lock, and before it is taken: so the
// numbers of events and the counts of rules have one order.
func (b *Broker) judge(ev *Event, rules []*Fault, frame bool) decision {
	var few [8]*Fault
	matching := few[:0]
	var shown *Event
	for _, f := range rules {
		if f.match.frames() != frame || !f.match.plain(ev) {
			continue
		}
		if f.match.asks() {
			if shown == nil {
				shown = ev.public()
			}
			if !f.match.asked(shown) {
				continue
			}
		}
		matching = append(matching, f)
	}

	meeting := matching[:0]
	fs := &b.faults
	fs.mu.Lock()
	for _, f := range matching {
		if f.meets() {
			meeting = append(meeting, f)
			ev.Faults = append(ev.Faults, f.label)
		}
	}
	if !frame || len(meeting) > 0 {
		fs.add(ev)
	}
	fs.mu.Unlock()

	var dec decision
	for _, f := range meeting {
		for _, a := range f.rule.actions() {
			a.apply(&dec, b, ev)
			if a.do != nil {
				a.do(ev.public())
			}
		}
	}
	return dec
}
