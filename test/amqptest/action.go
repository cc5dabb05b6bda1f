package amqptest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Action is what a Rule does to an event. Actions are made by the functions of this package that return one, Drop for
// example, or read from text by ParseRule. They are values: one may be used in several rules.
type Action struct {
	kind  actionKind
	wait  time.Duration
	count int
	code  uint16
	text  string
	keep  Keep
	do    func(*Event)
}

// Drop loses the event, as if it had never been sent. A publish that is dropped keeps its place in the channel's count
// of confirms and is never confirmed, so that the confirms of others stay theirs.
func Drop() Action { return Action{kind: actionDrop} }

// Delay holds the event for d, and with it all that comes after it on the connection in the same direction, heartbeats
// included.
func Delay(d time.Duration) Action { return Action{kind: actionDelay, wait: d} }

// Duplicate lets the event take place n times more, 1 to 1000: executed again if it came from the client, written again
// if it comes from the broker, with the same delivery tag. A publish that is executed again takes no further place in
// the count of confirms.
func Duplicate(n int) Action { return Action{kind: actionDuplicate, count: n} }

// Reorder keeps the event back until the next one of the same method and direction on the connection has passed, or for
// wait if none comes: two deliveries, or two publishes, swap places.
func Reorder(wait time.Duration) Action { return Action{kind: actionReorder, wait: wait} }

// SeverBefore closes the connection's socket, without a word, instead of executing or writing the event.
func SeverBefore() Action { return Action{kind: actionSeverBefore} }

// SeverAfter executes or writes the event and then closes the connection's socket without a word. A publish has then
// been routed but is not confirmed; a consumer may have read a delivery or not.
func SeverAfter() Action { return Action{kind: actionSeverAfter} }

// NeverConfirm routes a publish and never confirms it. Other publishes are confirmed as usual.
func NeverConfirm() Action { return Action{kind: actionNeverConfirm} }

// Nack loses a publish and confirms it negatively, which RabbitMQ does when a queue fails. On a channel without
// confirms it is lost silently.
func Nack() Action { return Action{kind: actionNack} }

// Return treats a publish as if no queue were bound for it: if mandatory it is returned with 312, and it is confirmed.
func Return() Action { return Action{kind: actionReturn} }

// CancelConsumer makes the broker cancel all consumers of a queue in the event's virtual host, as when the queue is
// deleted or fails over, once the event has been executed or written. Without a name it is the event's queue: that of a
// delivery, a basic.consume, a queue.declare and so on.
func CancelConsumer(queue string) Action { return Action{kind: actionCancelConsumer, text: queue} }

// Block raises the broker's memory alarm after the event, and ends it after d: see Broker.Block. With 0 it lasts until
// Broker.Unblock.
func Block(d time.Duration) Action { return Action{kind: actionBlock, wait: d} }

// StallReading makes the broker read nothing more from the connection after the event, for d; with 0 for as long as the
// connection lasts. It goes on writing. The client sees its writes fill the socket and then hang.
func StallReading(d time.Duration) Action { return Action{kind: actionStall, wait: d} }

// HalfOpen loses the connection on the broker's side only, after the event: the broker treats the client as gone, what
// it had not acknowledged returns to the queues, but the socket stays open and nothing more is read or written on it.
// Only its heartbeats tell the client.
func HalfOpen() Action { return Action{kind: actionHalfOpen} }

// Corrupt breaks the first frame that the broker writes for the event.
func Corrupt() Action { return Action{kind: actionCorrupt} }

// Restart restarts the broker after the event, see Broker.Restart. All connections are lost without a word, and new
// ones are refused for downtime, which may be 0.
func Restart(keep Keep, downtime time.Duration) Action {
	return Action{kind: actionRestart, keep: keep, wait: downtime}
}

// CloseChannel makes the broker close the event's channel with a reply code and text instead of executing or writing
// the event. The name of the code is put in front of the text as RabbitMQ does: CloseChannel(404, "no queue 'q'") is
// seen as "NOT_FOUND - no queue 'q'". The text is 200 bytes at most.
func CloseChannel(code uint16, text string) Action {
	return Action{kind: actionCloseChannel, code: code, text: text}
}

// CloseConnection is CloseChannel for the connection; RabbitMQ's code for a forced close is 320.
func CloseConnection(code uint16, text string) Action {
	return Action{kind: actionCloseConnection, code: code, text: text}
}

// Do calls f before the event takes effect. The event, and all that comes after it on the connection in its direction,
// waits for f to return; so f can hold an event until a test lets it go. f may use the broker, but must not wait for
// the connection to end: it must not call Close, for one. A rule with it has no form as text.
func Do(f func(*Event)) Action { return Action{kind: actionDo, do: f} }

// String gives the action as it stands in a rule's text: "delay 50ms".
func (a Action) String() string {
	info := a.kind.info()
	words := []string{info.name}
	switch info.arguments {
	case argumentDuration:
		words = append(words, a.wait.String())
	case argumentMayBeDuration:
		if a.wait != 0 {
			words = append(words, a.wait.String())
		}
	case argumentCount:
		words = append(words, fmt.Sprint(a.count))
	case argumentMayBeName:
		if a.text != "" {
			words = append(words, quoteWord(a.text))
		}
	case argumentReply:
		words = append(words, fmt.Sprint(a.code), quoteWord(a.text))
	case argumentRestart:
		words = append(words, keepName(a.keep))
		if a.wait != 0 {
			words = append(words, a.wait.String())
		}
	case argumentNone, argumentFunction:
	}
	return strings.Join(words, " ")
}

const (
	maxWait   = 24 * time.Hour
	maxCopies = 1000
	maxReply  = 200
)

// validate checks the arguments.
func (a Action) validate() error {
	info := a.kind.info()
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: %s", info.name, fmt.Sprintf(format, args...))
	}
	switch {
	case info.name == "":
		return fmt.Errorf("an Action is made by a function such as Drop, not as a literal")
	case info.arguments == argumentDuration && (a.wait <= 0 || a.wait > maxWait):
		return bad("duration %v is not above 0 and at most %v", a.wait, maxWait)
	case a.wait < 0 || a.wait > maxWait:
		return bad("duration %v is not between 0 and %v", a.wait, maxWait)
	case info.arguments == argumentCount && (a.count < 1 || a.count > maxCopies):
		return bad("%d times more is not between 1 and %d", a.count, maxCopies)
	case info.arguments == argumentReply && a.code == 0:
		return bad("it needs a reply code")
	case info.arguments == argumentReply && len(a.text) > maxReply:
		return bad("the text has %d bytes, more than %d", len(a.text), maxReply)
	case info.arguments == argumentMayBeName && len(a.text) > 255:
		return bad("the queue's name has %d bytes, more than 255", len(a.text))
	case info.arguments == argumentRestart && keepName(a.keep) == "":
		return bad("there is no such Keep")
	case info.arguments == argumentFunction && a.do == nil:
		return bad("the function is nil")
	}
	return nil
}

// meets says whether the action can do anything to such an event.
func (a Action) meets(d Direction, method string) bool {
	class, _, _ := strings.Cut(method, ".")
	switch a.kind {
	case actionNeverConfirm, actionNack, actionReturn:
		return d == FromClient && method == "basic.publish"
	case actionCorrupt:
		return d == FromBroker
	case actionDrop, actionDelay, actionDuplicate, actionSeverBefore, actionSeverAfter, actionDo:
		return true
	case actionCloseChannel:
		switch class {
		case "connection", "heartbeat", "frame":
			return false
		case "channel":
			return method == "channel.flow" || method == "channel.flow-ok"
		}
		return true
	case actionCancelConsumer:
		return class != "frame" && (a.text != "" || slices.Contains(methodsWithQueue, method))
	default:
		return class != "frame"
	}
}

var methodsWithQueue = []string{
	"basic.deliver", "basic.consume", "basic.consume-ok", "basic.get", "basic.get-ok", "basic.get-empty",
	"queue.declare", "queue.declare-ok", "queue.bind", "queue.unbind", "queue.purge",
}

// apply adds the action to what was decided before. Where two decisions exclude each other the first one stays.
func (a Action) apply(dec *decision, b *Broker, ev *Event) {
	switch a.kind {
	case actionDrop:
		dec.drop = true
	case actionDelay:
		dec.delay += a.wait
	case actionDuplicate:
		dec.copies += a.count
	case actionReorder:
		dec.hold = max(dec.hold, a.wait)
	case actionSeverBefore:
		dec.severBefore = true
	case actionSeverAfter:
		dec.severAfter = true
	case actionNeverConfirm:
		dec.fate(confirmNever)
	case actionNack:
		dec.fate(confirmNack)
	case actionReturn:
		dec.unroutable = true
	case actionStall:
		switch {
		case dec.stall < 0:
		case a.wait == 0:
			dec.stall = -1
		default:
			dec.stall = max(dec.stall, a.wait)
		}
	case actionHalfOpen:
		dec.halfOpen = true
	case actionCorrupt:
		dec.corrupt = true
	case actionCloseChannel:
		if dec.closeChannel == nil {
			dec.closeChannel = &closeReason{a.code, a.text}
		}
	case actionCloseConnection:
		if dec.closeConnection == nil {
			dec.closeConnection = &closeReason{a.code, a.text}
		}
	case actionCancelConsumer, actionBlock, actionRestart:
		dec.after = append(dec.after, func() { a.affect(b, ev) })
	case actionDo, actionNone:
	}
}

func (dec *decision) fate(f confirmFate) {
	if dec.confirm == confirmNormally {
		dec.confirm = f
	}
}
