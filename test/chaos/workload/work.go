package workload

import (
	"context"
	"encoding/json"
	"os"
	"syscall"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// Method is the method that does all operations.
const Method = "chaos.work"

// Unserved is a method that nobody serves.
const Unserved = "chaos.unserved"

// Names of operations beside those of package history.
const (
	OpAppend = "append"
	OpPoison = "poison"
	OpNobody = "nobody"
)

// Answer is what the server replies.
type Answer struct {
	// Echo is the ID of the call that is answered.
	Echo string `json:"echo"`
	// Value is what a read read, or a compare-and-set found.
	Value string `json:"value,omitempty"`
	// NoEffect says that nothing was changed.
	NoEffect bool `json:"no_effect,omitempty"`
}

// Read says what a reply means, for a [history.Recorder].
func Read(r *warren.Reply) history.Answer {
	var a Answer
	if json.Unmarshal(r.Body, &a) != nil {
		return history.Answer{}
	}
	return history.Answer{Echo: a.Echo, Value: a.Value, NoEffect: a.NoEffect}
}

// Memory is a method whose calls are soon forgotten: after Retention. It is served by
// a server of its own, in a time of its own.
const (
	Memory    = "chaos.memory"
	Retention = time.Minute
)

// register adds the method to a server.
func register(s *server.Server, w *Worker) error {
	// Few at a time, so that a kill meets handlers and not only lines in front of them.
	return w.handle(s, server.Method{Name: Method, Concurrency: 16, Dedupe: server.Dedupe{Park: attempts}})
}

func registerMemory(s *server.Server, w *Worker) error {
	return w.handle(s, server.Method{Name: Memory, Dedupe: server.Dedupe{Retention: Retention}})
}

func (w *Worker) handle(s *server.Server, m server.Method) error {
	m.Dedupe.Mode, m.Dedupe.ByCaller = w.Mode, true
	if w.Mode == server.Transactional {
		return w.backend.HandleTx(s, m, w.inTransaction)
	}
	return server.Handle(s, m, w.outside)
}

// attempts is how many of a call are begun before it is parked.
const attempts = 5

// outside does an operation whose effect is in no transaction.
func (w *Worker) outside(ctx context.Context, op history.Op) (Answer, error) {
	req := warren.RequestFromContext(ctx)
	switch op.Name {
	case OpPoison:
		return Answer{}, w.die(req)
	case OpAppend:
	default:
		return Answer{}, warren.Errorf(warren.CodeUnimplemented, "the operation %.40q needs a transaction", op.Name)
	}
	if err := w.log.Append(effect(w.log, req, op)); err != nil {
		return Answer{}, err
	}
	return Answer{Echo: identity(req)}, nil
}

// identity names a call in the history: a stranger's is not the one whose ID it
// bears.
func identity(req *warren.Request) string {
	if req.UserID == Stranger {
		return strange(req.CallID)
	}
	return req.CallID
}

func effect(log *history.Log, req *warren.Request, op history.Op) history.Event {
	e := history.Event{Kind: history.KindEffect, CallID: identity(req), Method: req.Method, Attempt: req.Attempt, Op: &op}
	e.At, e.Wall = log.Now()
	return e
}

// die ends the process as SIGKILL does, in the middle of what it is doing, once the
// history has it.
func (w *Worker) die(req *warren.Request) error {
	if err := w.log.Append(history.Event{
		Kind: history.KindNote, Note: history.NotePoison, Method: req.Method, CallID: identity(req),
	}); err != nil {
		return err
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// inTransaction does an operation in the transaction that commits the call's record.
func (w *Worker) inTransaction(ctx context.Context, tx State, op history.Op) (Answer, error) {
	req := warren.RequestFromContext(ctx)
	a := Answer{Echo: identity(req)}
	var err error
	switch op.Name {
	case OpPoison:
		err = w.die(req)
	case OpAppend:
	case history.OpTransfer:
		err = tx.Transfer(op.Key, op.To, op.Amount)
	case history.OpRead:
		a.Value, err = tx.Register(op.Key)
		return a, err
	case history.OpWrite:
		err = tx.Set(op.Key, op.New)
	case history.OpCAS:
		if a.Value, err = tx.Swap(op.Key, op.Old, op.New); err == nil && a.Value != op.Old {
			a.NoEffect = true
			return a, nil
		}
	default:
		err = warren.Errorf(warren.CodeUnimplemented, "there is no operation %.40q", op.Name)
	}
	if err != nil {
		return Answer{}, err
	}
	return a, tx.Note(effect(w.log, req, op))
}
