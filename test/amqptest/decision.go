package amqptest

import "time"

// decision is what the faults decided for one event: the zero value lets it pass.
// The connection carries it out.
type decision struct {
	// drop: as if it had never been sent. A dropped publish keeps its place in the
	// count of confirms and is never confirmed.
	drop bool
	// delay holds it, and all behind it in that direction of the connection.
	delay time.Duration
	// copies is how many times more it is executed or written.
	copies int
	// hold keeps it back until the next event with the same method, direction and
	// connection has passed, or that long at most.
	hold time.Duration
	// severBefore and severAfter close the socket without a word: before it is
	// executed or written, or after.
	severBefore, severAfter bool
	// confirm is the fate of the confirm of a publish.
	confirm confirmFate
	// unroutable treats a publish as if no queue matched: returned if mandatory,
	// then confirmed.
	unroutable bool
	// corrupt breaks the first frame that is written for it. Only FromBroker.
	corrupt bool
	// stall makes the broker read nothing from the connection for so long, after
	// this. Negative is until the end of the connection.
	stall time.Duration
	// halfOpen makes the broker neither read nor write on the connection any more,
	// nor close it, while it treats the client as gone: what was unacked goes back.
	halfOpen bool
	// closeChannel and closeConnection end them as the broker does, with a code,
	// instead of executing it.
	closeChannel, closeConnection *closeReason
	// after runs once it was executed or written, without any lock of the broker.
	after []func()
}

type closeReason struct {
	code uint16
	text string
}

type confirmFate uint8

const (
	confirmNormally confirmFate = iota
	confirmNever
	confirmNack // the message is not routed
)
