package workload

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

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
		return server.HandleTx(s, m, w.inTransaction)
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

// The buckets of the application's state in the store's file.
var (
	bookBucket     = []byte("chaos.book")
	accountsBucket = []byte("chaos.accounts")
	registerBucket = []byte("chaos.registers")
)

// inTransaction does an operation in the store's transaction.
func (w *Worker) inTransaction(ctx context.Context, tx *bbolt.Tx, op history.Op) (Answer, error) {
	req := warren.RequestFromContext(ctx)
	a := Answer{Echo: identity(req)}
	state := state{tx}
	var err error
	switch op.Name {
	case OpPoison:
		err = w.die(req)
	case OpAppend:
	case history.OpTransfer:
		err = state.transfer(op)
	case history.OpRead:
		a.Value, err = state.register(op.Key)
		return a, err
	case history.OpWrite:
		err = state.set(op.Key, op.New)
	case history.OpCAS:
		if a.Value, err = state.register(op.Key); err == nil && a.Value != op.Old {
			a.NoEffect = true
			return a, nil
		}
		if err == nil {
			err = state.set(op.Key, op.New)
		}
	default:
		err = warren.Errorf(warren.CodeUnimplemented, "there is no operation %.40q", op.Name)
	}
	if err != nil {
		return Answer{}, err
	}
	return a, state.note(effect(w.log, req, op))
}

// state is the application's part of the file.
type state struct{ tx *bbolt.Tx }

func (s state) bucket(name []byte) (*bbolt.Bucket, error) {
	b, err := s.tx.CreateBucketIfNotExists(name)
	if err != nil {
		return nil, fmt.Errorf("the bucket %s: %w", name, err)
	}
	return b, nil
}

// Opening is what each account has at the beginning.
const Opening = 1000

func (s state) balance(b *bbolt.Bucket, account string) (int64, error) {
	text := b.Get([]byte(account))
	if text == nil {
		return Opening, nil
	}
	return strconv.ParseInt(string(text), 10, 64)
}

func (s state) transfer(op history.Op) error {
	b, err := s.bucket(accountsBucket)
	if err != nil {
		return err
	}
	from, err := s.balance(b, op.Key)
	if err != nil {
		return err
	}
	if err := b.Put([]byte(op.Key), strconv.AppendInt(nil, from-op.Amount, 10)); err != nil {
		return err
	}
	to, err := s.balance(b, op.To)
	if err != nil {
		return err
	}
	return b.Put([]byte(op.To), strconv.AppendInt(nil, to+op.Amount, 10))
}

func (s state) register(key string) (string, error) {
	b, err := s.bucket(registerBucket)
	if err != nil {
		return "", err
	}
	return string(b.Get([]byte(key))), nil
}

func (s state) set(key, value string) error {
	b, err := s.bucket(registerBucket)
	if err != nil {
		return err
	}
	return b.Put([]byte(key), []byte(value))
}

// note writes the effect into the book.
func (s state) note(e history.Event) error {
	b, err := s.bucket(bookBucket)
	if err != nil {
		return err
	}
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return b.Put(binary.BigEndian.AppendUint64(nil, n), line)
}

// Book calls fn with every effect that is in the file of a store whose server has
// ended, and returns what the accounts hold. The accounts named are there even if
// no transfer has touched them.
func Book(path string, accounts []string, fn func(history.Event) error) (balances map[string]int64, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read the book: %w", err)
	}
	defer func() { _ = db.Close() }()
	balances = map[string]int64{}
	err = db.View(func(tx *bbolt.Tx) error {
		s := state{tx}
		for _, account := range accounts {
			balances[account] = Opening
		}
		if b := tx.Bucket(accountsBucket); b != nil {
			for account := range balances {
				if balances[account], err = s.balance(b, account); err != nil {
					return err
				}
			}
		}
		b := tx.Bucket(bookBucket)
		if b == nil {
			return nil
		}
		return b.ForEach(func(_, line []byte) error {
			var e history.Event
			if err := json.Unmarshal(line, &e); err != nil {
				return fmt.Errorf("a line of the book: %w", err)
			}
			return fn(e)
		})
	})
	return balances, err
}
