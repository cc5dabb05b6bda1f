package server

import (
	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/wire"
)

// unreadable is the answer to a request whose headers could not be kept, nil if
// they are what was sent.
func unreadable(d *broker.Delivery) error {
	why := d.Unreadable()
	if why == "" {
		return nil
	}
	return &warren.Error{
		Code: warren.CodeInvalidArgument, Reason: warren.ReasonBadRequest, Outcome: warren.NotExecuted, Message: why,
	}
}

// bury deals with a message of which only the body is left: who sent it, and where
// an answer would go, cannot be told. It is parked where the method parks, and
// dropped elsewhere.
func (s *Server) bury(m *method, d broker.Delivery) {
	if m.Dedupe.Park <= 0 {
		s.drop(m, &d, d.Unreadable())
		return
	}
	req := &wire.Request{Request: warren.Request{Method: m.Name, OneWay: true, Plain: true, Redelivered: true}}
	a := newAnswer(s, m, d, req)
	incident := newIncident()
	a.moveToDead(&warren.Error{
		Code: warren.CodeInternal, Reason: warren.ReasonPoisoned, Outcome: warren.Unknown, Incident: incident,
		Message: d.Unreadable(),
	}, wire.Dead{Reason: warren.ReasonPoisoned, Incident: incident}, a.settlePark)
}
