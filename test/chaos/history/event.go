package history

import (
	"time"

	"github.com/warren-rpc/warren"
)

// Kind says what an [Event] tells of.
type Kind string

// The kinds, with the fields of [Event] that belong to them beside those that all
// have.
const (
	// KindCall: a client is about to make a call. Client, CallID, Number, Method,
	// Mode, Op, Deadline, Poison, Unserved, Refused.
	KindCall Kind = "call"
	// KindEnd: that call returned to the client. Client, CallID, Number, OK or Code,
	// Reason, Outcome and Text; Replayed, Remote, Attempts, Digest, Echo, Value,
	// NoEffect, Took.
	KindEnd Kind = "end"
	// KindResolve: a client asked what became of a call. CallID, Method, State,
	// Outcome, Digest, Echo, Value, NoEffect; Code, Reason and Text are those of the
	// error with which the call ended or, if State is empty, of why it was not told.
	KindResolve Kind = "resolve"
	// KindEffect: a call changed something. CallID, Method, Attempt, Op, Digest. It
	// is written by the server or read from its book when all is over, but not both:
	// each event is one effect.
	KindEffect Kind = "effect"
	// KindState: what a bank's account held. Key, Value (a decimal integer), Phase:
	// once before the first call and once after the last. Phase once is on the way,
	// of all accounts in one transaction: CallID is then the same for all of them.
	KindState Kind = "state"
	// KindFault: a fault began, ended, or struck at one instant. Fault, Phase.
	KindFault Kind = "fault"
	// KindSample: figures of a process or a queue. Sample, Phase.
	KindSample Kind = "sample"
	// KindNote: whatever else is worth knowing. Note, Text, Owner; Method and CallID
	// where it is about a call.
	KindNote Kind = "note"
)

// Phase says which end of something an event is.
type Phase string

// The phases of faults, samples and states.
const (
	PhaseBegin Phase = "begin"
	PhaseEnd   Phase = "end"
	// PhaseOnce is of a fault that has no length, such as a kill whose victim is not
	// started again, and of a sample on the way.
	PhaseOnce Phase = "once"
)

// Notes that package check understands.
const (
	// NoteParked: the call was found in its method's dead queue.
	NoteParked = "parked"
	// NoteUntold: nobody could say what became of the call, when all was well again.
	NoteUntold = "untold"
	// NoteLastAttempt: the process is about to begin the call for the last time before it
	// is parked, and alone.
	NoteLastAttempt = "last_attempt"
	// NoteCopied: the run is about to put a copy of the call's request beside it.
	NoteCopied = "copied"
	// NoteOwner: Owner is the process, as its store knows it.
	NoteOwner = "owner"
	// NoteTakeover: the process begins the call, which had been begun before; by Owner, if
	// that is known.
	NoteTakeover = "takeover"
	// NotePoison: the call has been begun, and is about to end the process.
	NotePoison = "poison"
	// NoteDeadQueueRead: the dead queue of Method was read in full at the end, and
	// each call in it has its NoteParked.
	NoteDeadQueueRead = "dead_queue_read"
)

// Event is one line of a history. Fields that are empty are left out.
type Event struct {
	Kind Kind `json:"kind"`
	// Process is the log that the event was written to; see [Log.Process]. Set by
	// Append.
	Process string `json:"process"`
	// At is the time since the run's start and Wall the system's clock, both when it
	// happened: see the package comment. Append sets them if both are zero. A value
	// in JSON is in nanoseconds.
	At   time.Duration `json:"at"`
	Wall time.Time     `json:"wall"`

	// Client names who makes the call, one at a time: a goroutine, say.
	Client string `json:"client,omitempty"`
	// CallID names the call. A client that makes it again, to see whether it is
	// replayed, uses it again.
	CallID string `json:"call_id,omitempty"`
	// Number joins a call event to its end: no two calls of a process share it, also
	// if they share a call ID. From 1 on.
	Number uint64 `json:"n,omitempty"`
	// Method is what is called.
	Method string `json:"method,omitempty"`
	// Mode is the method's, as server.Mode has it in text.
	Mode string `json:"mode,omitempty"`
	// Op is what is asked for or, of an effect, what was done.
	Op *Op `json:"op,omitempty"`
	// Deadline is when the call must have ended, on the scale of At; 0 if it has
	// none.
	Deadline time.Duration `json:"deadline,omitempty"`
	// Poison says that the call is made to be parked.
	Poison bool `json:"poison,omitempty"`
	// Unserved says that nobody serves the method of the call.
	Unserved bool `json:"unserved,omitempty"`
	// Refused says that the broker does not take the request.
	Refused bool `json:"refused,omitempty"`

	// OK says that the call succeeded: then there is no Code, Reason, or Text.
	OK      bool           `json:"ok,omitempty"`
	Code    string         `json:"code,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	Text    string         `json:"text,omitempty"`    // the error's message, or a note's
	Outcome warren.Outcome `json:"outcome,omitempty"` // Unknown is left out; of no meaning with OK
	State   string         `json:"state,omitempty"`   // client.ResolutionState
	Remote  bool           `json:"remote,omitempty"`  // the error came from the server
	// Replayed says that the answer was stored by an earlier attempt.
	Replayed bool `json:"replayed,omitempty"`
	// Attempts is how often the request was published.
	Attempts int `json:"attempts,omitempty"`
	// Attempt is which of them had the effect; 0 if that is not known.
	Attempt int `json:"attempt,omitempty"`
	// Digest tells answers apart: see [Digest] and [ErrorDigest]. Of an effect it is
	// that of the answer that the handler gave, if that is known.
	Digest string `json:"digest,omitempty"`
	// Echo is the ID of the call that the reply says it answers, if it says.
	Echo string `json:"echo,omitempty"`
	// Key and Value are of a state; Value is of an end or a resolve too: what a read
	// read, what a compare-and-set found.
	Key   string `json:"key,omitempty"`
	Value string `json:"value,omitempty"`
	// NoEffect says that the reply says that nothing was changed: a compare-and-set
	// that found another value.
	NoEffect bool `json:"no_effect,omitempty"`
	// Took is how long the call took, without the time for writing its events.
	Took time.Duration `json:"took,omitempty"`

	Phase  Phase   `json:"phase,omitempty"`
	Fault  *Fault  `json:"fault,omitempty"`
	Sample *Sample `json:"sample,omitempty"`
	Note   string  `json:"note,omitempty"`  // its name, in the style of a reason
	Owner  string  `json:"owner,omitempty"` // of a record: see store.Record
}

// Names of operations that package check understands. Others are counted only.
const (
	OpRead     = "read"     // of the register Key
	OpWrite    = "write"    // of New to the register Key
	OpCAS      = "cas"      // of New to the register Key if it holds Old
	OpTransfer = "transfer" // of Amount from the account Key to the account To
)

// Op is an operation with its arguments.
type Op struct {
	Name   string `json:"name"`
	Key    string `json:"key,omitempty"`
	To     string `json:"to,omitempty"`
	Old    string `json:"old,omitempty"`
	New    string `json:"new,omitempty"`
	Amount int64  `json:"amount,omitempty"`
	// ReadOnly says that it changes nothing when it succeeds.
	ReadOnly bool `json:"read_only,omitempty"`
}

// FaultClass says what a fault means for the process that it strikes, where the
// judgement of that process's calls depends on it.
type FaultClass string

// The classes that matter. All other faults have none.
const (
	// Kills: the target, a process of the history, was killed by SIGKILL. Calls that it
	// had open then have no end.
	Kills FaultClass = "kills"
	// Freezes: the target, a process of the history, stood still from begin to end.
	// Its calls may end later by that much.
	Freezes FaultClass = "freezes"
)

// Fault is something that was broken on purpose.
type Fault struct {
	// Name is the kind of fault: kill-server, cut, …
	Name string `json:"name"`
	// ID joins the end of a fault to its begin. Empty: of those with the same name
	// and target, an end ends the last one that began.
	ID string `json:"id,omitempty"`
	// Target is who was struck. With a Class it is the process's name: that of its log,
	// or that which was given to [Open], which means all processes of that name.
	Target string     `json:"target,omitempty"`
	Class  FaultClass `json:"class,omitempty"`
	Detail string     `json:"detail,omitempty"` // a crash point, a seed, …
}

// Sample is figures of a process or of a queue at one time. Begin is before the
// first call, end when all has become quiet after the last.
type Sample struct {
	// Of is the process whose figures they are. Queue is the queue whose Depth it is,
	// in messages, those that are not acknowledged among them. One of the two.
	Of    string `json:"of,omitempty"`
	Queue string `json:"queue,omitempty"`
	Depth int    `json:"depth,omitempty"`

	Goroutines  int   `json:"goroutines,omitempty"`
	Descriptors int   `json:"descriptors,omitempty"`
	Heap        int64 `json:"heap,omitempty"` // bytes in use after a collection
}
