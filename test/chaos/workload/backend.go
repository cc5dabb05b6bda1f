package workload

import (
	"context"
	"log/slog"
	"time"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// Backend is where the servers of a run keep what they remember of calls, and the
// state that calls change. A place is one store: the path of a file, or the URL of a
// database's schema. All methods are safe for concurrent use.
type Backend interface {
	// Shared reports whether places are in a PostgreSQL, which any number of servers
	// share. A place is a file otherwise, which one server has.
	Shared() bool

	// Create makes an empty store at a place where there is none. Servers do not.
	Create(ctx context.Context, place string) error

	// Open opens the store in the process of a server.
	Open(ctx context.Context, place string, o BackendOptions) (store.Store, error)

	// HandleTx adds a method in transactional mode to a server whose store is one of
	// Open's: do works on the transaction that commits the record of its call.
	HandleTx(s *server.Server, m server.Method, do func(ctx context.Context, tx State, op history.Op) (Answer, error)) error

	// Book calls fn with every effect that is at a place whose servers have ended, and
	// returns what the accounts hold. The accounts named are there even if no transfer
	// has touched them. A place where no store was ever made is fs.ErrNotExist.
	Book(ctx context.Context, place string, accounts []string, fn func(history.Event) error) (balances map[string]int64, err error)
}

// BackendOptions say how a server opens its store.
type BackendOptions struct {
	// Now is the clock of the store. Nil: its own.
	Now func() time.Time
	// SweepEvery is as in the options of stores; 0 is their default.
	SweepEvery time.Duration
	Logger     *slog.Logger
	// Claim, if it is not nil, is called in the place of the store's Claim, with the
	// store. It calls that.
	Claim func(ctx context.Context, st store.Store, c store.Claim) (store.Record, bool, error)
}

// State is what calls change, as one transaction sees it.
type State interface {
	// Transfer moves money. An account is opened with [Opening] by its first transfer.
	Transfer(from, to string, amount int64) error
	// Register reads a register. One that was never written is empty.
	Register(key string) (string, error)
	// Set writes a register.
	Set(key, value string) error
	// Swap writes a register if it holds old, and returns what it held.
	Swap(key, old, value string) (found string, err error)
	// Note writes an effect into the book.
	Note(effect history.Event) error
}

// Opening is what each account has at the beginning.
const Opening = 1000
