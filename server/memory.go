package server

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/store"
)

// memory is which store remembers a method's calls. The broker keeps that beside the
// method, and so it outlives servers: one with another store knows nothing of the
// calls that were begun, and would begin them again.
//
// It is kept as the label of a queue that takes no messages. So one declaration asks
// and, if nobody has a claim to the method yet, makes it; there is no moment in which
// a server that dies could leave it without one, and no client that may publish can
// write to it. A queue that is gone is made again by whoever serves.
type memory struct {
	method   string
	store    store.Identity
	replaces string // ID of the store whose place this one takes
	log      *slog.Logger
}

func (m *memory) queue() *broker.Queue {
	return broker.LabelledMarker(wire.MemoryQueue(m.method), wire.EncodeMemory(m.store.ID, m.store.Created))
}

// claim makes the store the one that remembers the method, or fails if that is
// another. The method must be this server's.
func (m *memory) claim(session *broker.Session) error {
	err := m.check(session)
	foreign, ok := errors.AsType[*foreignMemoryError](err)
	if !ok || foreign.expected.ID == "" || foreign.expected.ID != m.replaces {
		return err
	}
	m.log.Warn("the store takes another's place; what that remembers of the method's calls counts no more",
		"store", m.store.String(), "replaced", foreign.expected.String())
	if err := broker.Delete(session, m.queue().Name); err != nil {
		return err
	}
	return m.check(session)
}

// look fails if another store remembers the method, and leaves all as it is.
func (m *memory) look(session *broker.Session) error {
	there, err := broker.Exists(session, m.queue().Name)
	if err != nil || !there {
		return err
	}
	return m.check(session)
}

// check declares the memory.
func (m *memory) check(session *broker.Session) error {
	err := m.queue().Declare(session)
	label, other := broker.OtherLabel(err)
	if !other {
		return err
	}
	id, created := wire.DecodeMemory(label)
	return &foreignMemoryError{method: m.method, expected: store.Identity{ID: id, Created: created}, have: m.store, refusal: err}
}

// foreignMemoryError is why a server does not serve a method: another store remembers what
// was called.
type foreignMemoryError struct {
	method         string
	expected, have store.Identity // what is not known of expected is zero
	refusal        error          // the broker's
}

func (e *foreignMemoryError) Error() string {
	expected, replaces := "another store", "that one's ID"
	if e.expected.ID != "" {
		expected, replaces = e.expected.String(), fmt.Sprintf("%q", e.expected.ID)
	}
	return fmt.Sprintf("warren: the calls of %s are remembered by %s, and this server has %s, which knows nothing of them: "+
		"start it with that store, or have the new one take its place on purpose, by `warren store adopt` or by Dedupe.Replaces = %s",
		e.method, expected, e.have, replaces)
}

func (e *foreignMemoryError) Unwrap() error { return e.refusal }
