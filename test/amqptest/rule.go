package amqptest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Rule is a fault in waiting: what it looks for, which of the events found it meets, and what it does to them.
//
//	amqptest.Rule{Do: amqptest.Nack()}                                      // nack the next publish
//	amqptest.Rule{
//		When:  amqptest.When{Method: "basic.deliver", Queue: "orders"},
//		Nth:   3,
//		Do:    amqptest.SeverAfter(),
//	}                                                                       // cut after the third delivery from orders
//	amqptest.Rule{When: amqptest.When{RoutingKey: "audit.*"}, Every: 5, Do: amqptest.NeverConfirm()}
//
// A rule matches only events that its actions can do something to: one that does Nack looks at basic.publish alone,
// even if its When leaves the method open.
type Rule struct {
	// Name is what events and logs call the rule. Default: its text.
	Name string

	// When says which events match. The zero value matches every method.
	When When

	// Nth is the first match that the rule meets, counted from 1 since Inject. Default: 1.
	Nth int
	// Every says how many matches on the next one is that it meets: 1 is each. Default: 1.
	Every int
	// Times bounds how many it meets. Default: 1, or if Every is set no bound. Always is no bound.
	Times int

	// Do is what it does, and Then what else to the same event, all at once.
	Do   Action
	Then []Action
}

// Always is the Times of a rule without a bound.
const Always = -1

// When says which events match: those for which all that is set holds. Names are compared with patterns, in which *
// stands for any characters, ? for any one byte, and \ makes what follows an ordinary character.
type When struct {
	// Direction is who sends. Default: either.
	Direction Direction
	// Method is a pattern for the method's name: "basic.publish", "basic.*". Default: every method. Heartbeats and
	// frames are matched by "heartbeat" and by patterns that begin with "frame." only, since when they come depends
	// on time.
	Method string

	// Conn is the number of the connection, Event.Conn. Default: any.
	Conn int
	// ConnName, User and VHost are patterns for those of the connection. Default: any.
	ConnName, User, VHost string
	// Channel is the channel's number. Default: any.
	Channel uint16

	// Queue, Exchange, RoutingKey and ConsumerTag are patterns for those of the event. Default: any, also none.
	// DefaultExchange matches the exchange without a name. A basic.publish has no queue, but one to the default
	// exchange has its name as the routing key.
	Queue, Exchange, RoutingKey, ConsumerTag string

	// Message is asked about events that have a message; others do not match. Event is asked about every event that
	// all else matches. Both may be called by several goroutines at once and must not change what they are shown.
	// In a rule they are asked before the event is numbered, while the connection waits.
	Message func(*Message) bool
	Event   func(*Event) bool
}

// DefaultExchange is the pattern for the exchange that has no name.
const DefaultExchange = "amq.default"

// Validate says what is wrong with a rule: an action that needs another argument, counts that are out of their bounds,
// a method that does not exist, or actions that can do nothing to any event that When leaves. Such a rule would make a
// test pass that tests nothing, so Inject does not take it.
func (r Rule) Validate() error {
	_, err := r.compile()
	if err != nil {
		return fmt.Errorf("amqptest: rule: %w", err)
	}
	return nil
}

func (r Rule) actions() []Action { return append([]Action{r.Do}, r.Then...) }

// compile checks a rule and returns its matcher.
func (r Rule) compile() (*matcher, error) {
	if r.Do.kind == actionNone {
		return nil, errors.New("it does nothing: Do is not set")
	}
	actions := r.actions()
	for _, a := range actions {
		if err := a.validate(); err != nil {
			return nil, err
		}
	}
	switch {
	case r.Nth < 0:
		return nil, fmt.Errorf("field Nth is %d; it counts from 1", r.Nth)
	case r.Every < 0:
		return nil, fmt.Errorf("field Every is %d; 1 is each", r.Every)
	case r.Times < Always:
		return nil, fmt.Errorf("field Times is %d; without a bound it is Always", r.Times)
	}
	m, err := r.When.compile()
	if err != nil {
		return nil, err
	}
	m.narrow(func(d Direction, method string) bool {
		return !slices.ContainsFunc(actions, func(a Action) bool { return !a.meets(d, method) })
	})
	if len(m.methods) == 0 {
		return nil, fmt.Errorf("%s can do nothing to %s", joinActions(actions), r.When.describe())
	}
	return m, nil
}

// meets says whether the rule meets its n-th match, having met fired before.
func (r *Rule) meets(n, fired int) bool {
	first, every := max(r.Nth, 1), max(r.Every, 1)
	if n < first || (n-first)%every != 0 {
		return false
	}
	return !r.exhausted(fired)
}

func (r *Rule) exhausted(fired int) bool {
	switch {
	case r.Times > 0:
		return fired >= r.Times
	case r.Times == 0 && r.Every == 0:
		return fired >= 1
	default:
		return false
	}
}

func (r *Rule) label() string {
	if r.Name != "" {
		return r.Name
	}
	return r.String()
}

func joinActions(actions []Action) string {
	texts := make([]string, len(actions))
	for i, a := range actions {
		texts[i] = a.String()
	}
	return strings.Join(texts, ", ")
}
