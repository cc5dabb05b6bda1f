package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/store"
)

const storeAdoptDescription = `Makes STORE, a file or a URL, the one that remembers the calls of each METHOD.

The broker keeps, for each method with a store, which store that is, and a server that
has another one refuses to serve the method: it would begin calls again that were
begun. When a store is lost, or a method begins anew on purpose, this command gives the
method to another store. What the one before remembers counts no more: a call that it
has seen, and that is made or delivered again, runs again.

No server of the METHOD may run, and none that has the file open. Adopting a store that
has the method already changes nothing. The names of the methods' queues are
warren.memory.METHOD; the server's permissions are enough.

The exit code is 1 if the store cannot be read, or a server has the method, and 6 if the
broker cannot be reached or refuses. Methods that stand before the one that failed are
adopted.

Examples:
   warren store adopt orders.db orders.place orders.cancel
   WARREN_STORE=postgres://shop@db/shop warren store adopt orders.place
   warren store adopt --url amqps://ops@rabbit-1/shop --json orders.db orders.place`

func storeAdoptCommand() *cli.Command {
	return &cli.Command{
		Name:        "adopt",
		Usage:       "make a store the memory of methods, in another's place",
		ArgsUsage:   "STORE METHOD…",
		Description: storeAdoptDescription,
		Flags:       connectionFlags(defaultURL, aboutStoreFlag(), timeoutFlag()),
		Action:      storeAdopt,
	}
}

// storeAdoptResult is what `warren store adopt --json` prints.
type storeAdoptResult struct {
	Store   storeIdentity  `json:"store"`
	Methods []storeAdopted `json:"methods"`
}

// storeAdopted is one method. Replaced is the store that had it, as far as the broker
// tells, and not there if none had.
type storeAdopted struct {
	Method   string         `json:"method"`
	State    string         `json:"state"` // adopted or unchanged
	Replaced *storeIdentity `json:"replaced,omitempty"`
}

type storeIdentity struct {
	ID      string     `json:"id,omitempty"`
	Created *time.Time `json:"created,omitempty"`
}

func newStoreIdentity(id store.Identity) *storeIdentity {
	return &storeIdentity{ID: id.ID, Created: known(id.Created)}
}

func storeAdopt(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	at, methods, err := storeArguments(cmd, 1, mostAdopted)
	if err != nil {
		return err
	}
	for _, method := range methods {
		if err := checkDeadMethod(cmd, method); err != nil {
			return err
		}
	}
	settings, err := brokerSettings(cmd)
	if err != nil {
		return err
	}
	timeout := cmd.Duration("timeout")
	if err := within(cmd, "timeout", timeout, time.Millisecond, longestTimeout); err != nil {
		return err
	}
	s, err := openStore(ctx, at)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // it was only read, and kept servers from the file
	id, err := s.identity()
	switch {
	case err != nil:
		return storeError(ctx, err)
	case id.ID == "":
		return exit(exitInternal, "%s is empty: no server has opened it yet", at)
	}
	l, err := openLink(ctx, settings, "warren store adopt", timeout)
	if err != nil {
		return err
	}
	a := &adoption{l, id}
	defer a.drop()
	result := storeAdoptResult{Store: *newStoreIdentity(id), Methods: []storeAdopted{}}
	for _, method := range methods {
		done, err := a.adopt(method)
		if err != nil {
			return err
		}
		result.Methods = append(result.Methods, done)
		if !out.json {
			if err := out.printf("%s\n", oneLine(done.text(id))); err != nil {
				return err
			}
		}
	}
	if out.json {
		return out.object(result)
	}
	return nil
}

// mostAdopted bounds the methods of one command.
const mostAdopted = 1000

func (d *storeAdopted) text(id store.Identity) string {
	switch {
	case d.State != adopted:
		return fmt.Sprintf("%s: remembered by %s, as before", d.Method, id)
	case d.Replaced == nil:
		return fmt.Sprintf("%s: remembered by %s; no store was before", d.Method, id)
	case d.Replaced.ID == "":
		return fmt.Sprintf("%s: remembered by %s, in the place of another", d.Method, id)
	default:
		return fmt.Sprintf("%s: remembered by %s, in the place of store %s", d.Method, id, d.Replaced.ID)
	}
}

const (
	adopted   = "adopted"
	unchanged = "unchanged"
)

// adoption gives methods to a store. It is for one goroutine.
type adoption struct {
	*link

	id store.Identity
}

// adopt gives the method to the store. As a server does, it has the owner's queue
// meanwhile, until the connection ends.
func (a *adoption) adopt(method string) (storeAdopted, error) {
	done := storeAdopted{Method: method, State: unchanged}
	if err := a.declare(broker.ExclusiveMarker(wire.OwnerQueue(method))); err != nil {
		if broker.IsLocked(err) {
			return done, exit(exitInternal, "a server has %s, or another connection its queue: stop it first: %v", method, err)
		}
		return done, a.failure(method, err)
	}
	memory := broker.LabelledMarker(wire.MemoryQueue(method), wire.EncodeMemory(a.id.ID, a.id.Created))
	there, err := a.exists(memory.Name)
	if err != nil {
		return done, a.failure(method, err)
	}
	if !there {
		done.State = adopted
		return done, a.failure(method, a.declare(memory))
	}
	err = a.declare(memory)
	var refusal *amqp.Error
	if !errors.As(err, &refusal) || refusal.Code != amqp.PreconditionFailed {
		return done, a.failure(method, err)
	}
	// Servers that share a store have no owner's queue.
	serving, err := a.consumers(wire.ControlQueue(method))
	switch {
	case err != nil:
		return done, a.failure(method, err)
	case serving > 0:
		return done, exit(exitInternal, "a server has %s, with another store: stop it first", method)
	}
	label, _ := broker.OtherLabel(refusal)
	id, created := wire.DecodeMemory(label)
	done.State, done.Replaced = adopted, newStoreIdentity(store.Identity{ID: id, Created: created})
	err = a.on(func() error {
		_, err := a.ch.QueueDelete(memory.Name, false, false, false)
		return err
	})
	if err == nil {
		err = a.declare(memory)
	}
	return done, a.failure(method, err)
}

// on runs f on a channel of its own, which a refusal closes.
func (a *adoption) on(f func() error) error {
	if err := a.openChannel(); err != nil {
		return err
	}
	if err := a.do(f); err != nil {
		return err
	}
	return a.do(a.ch.Close)
}

func (a *adoption) declare(q *broker.Queue) error {
	return a.on(func() error {
		_, err := a.ch.QueueDeclare(q.Name, !q.Exclusive, false, q.Exclusive, false, q.Args())
		return err
	})
}

func (a *adoption) exists(name string) (bool, error) {
	err := a.on(func() error {
		_, err := a.ch.QueueDeclarePassive(name, true, false, false, false, nil)
		return err
	})
	if broker.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// consumers returns how many a queue has, which need not be there.
func (a *adoption) consumers(name string) (n int, err error) {
	err = a.on(func() error {
		q, err := a.ch.QueueDeclarePassive(name, true, false, false, false, nil)
		n = q.Consumers
		return err
	})
	if broker.IsNotFound(err) {
		return 0, nil
	}
	return n, err
}

// failure makes an exitError of an error of the link.
func (a *adoption) failure(method string, err error) error {
	var refusal *amqp.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errLate):
		return exit(exitDeadline, "give %s to the store: the broker has not answered within %v", method, a.timeout)
	case errors.As(err, &refusal):
		return exit(exitBroker, "give %s to the store: %s", method, strings.TrimSpace(refusal.Reason))
	}
	return exit(exitBroker, "give %s to the store: %w", method, err)
}
