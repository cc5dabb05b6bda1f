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
// another, or this one is to replace it and servers that have it are at work. The method
// must be this server's, if the store is its process's.
func (m *memory) claim(session *broker.Session) error {
	err := m.check(session)
	foreign, ok := errors.AsType[*foreignMemoryError](err)
	if !ok || foreign.expected.ID == "" || foreign.expected.ID != m.replaces {
		return err
	}
	if err := m.unserved(session); err != nil {
		return err
	}
	m.log.Warn("the store takes another's place; what that remembers of the method's calls counts no more",
		"store", m.store.String(), "replaced", foreign.expected.String())
	if err := broker.Delete(session, m.queue().Name); err != nil {
		return err
	}
	return m.check(session)
}

// unserved fails if a server has the method: alone, or with others with which it shares
// a store, and who all consume. One that begins at this moment finds out within
// ownerCheck whose the method is.
func (m *memory) unserved(session *broker.Session) error {
	if _, err := broker.Exists(session, wire.OwnerQueue(m.method)); err != nil {
		return err
	}
	// A server that does not consume for a while still answers questions.
	for _, queue := range []string{m.method, wire.ControlQueue(m.method)} {
		n, err := broker.Consumers(session, queue)
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%w: the queue %s has consumers", errStillServed, queue)
		}
	}
	return nil
}

// errStillServed is why a store does not take the place of another yet.
var errStillServed = errors.New("warren: the method has servers with the store that is to be replaced: stop them")

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
