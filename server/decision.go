package server

import "github.com/warren-rpc/warren"

// decision says how one delivery of a request ends. It is made where that becomes
// known, returned up the call path, and carried out by exchange.conclude. Parking ends
// by a decision of its own: for exchange.fail, or for the attempt that waits for it.
type decision struct {
	kind  decisionKind
	reply *warren.Reply // of sendReply
	// err is what the caller is told, of sendError and park, or what interceptors see
	// of a request that is left.
	err      *warren.Error
	attempts int // of park: how many were begun and did not end
}

type decisionKind uint8

const (
	undecided decisionKind = iota
	// sendReply: the reply is published, and the request acknowledged once the broker
	// has confirmed that.
	sendReply
	// sendError: the caller is told err. What was not executed is acknowledged first,
	// and told once the broker has taken that: the request could otherwise come back
	// after the death of this server, and be executed by one that finds no fault with it.
	sendError
	// park: the request is moved to its method's dead queue, then as sendError.
	park
	// leave: nothing is sent. The broker delivers the request again when this channel
	// closes.
	leave
	// putBack: nothing is sent. The request returns to its queue at once, for another
	// server.
	putBack
	// lookAgain: the call's record has changed, or could not be written, and has to be
	// looked at again. It stays within the gate.
	lookAgain
)

func replied(r *warren.Reply) decision { return decision{kind: sendReply, reply: r} }

func failed(e *warren.Error) decision { return decision{kind: sendError, err: e} }

// left returns a decision for another delivery: leave or putBack.
func left(how decisionKind) decision {
	return decision{kind: how, err: &warren.Error{Code: warren.CodeUnavailable, Message: "the request is left to another delivery"}}
}

// isLeft reports whether the request is left: whatever its interceptors do, it is not
// answered here.
func (d *decision) isLeft() bool { return d.kind == leave || d.kind == putBack }
