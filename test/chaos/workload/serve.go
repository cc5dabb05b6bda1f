package workload

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/chaos/warp"
)

// Spec says what a process of a run is to do. It travels in the environment.
type Spec struct {
	URLs   []string    `json:"urls"`
	Folder string      `json:"folder"` // of the run's logs
	Store  string      `json:"store"`  // the place of the server's store: see [Backend]
	Start  time.Time   `json:"start"`  // of the run
	Mode   server.Mode `json:"mode"`

	// Of a server: its name in the history, by default "server"; whether the clock of its
	// store is the run's to step; and whether it serves Memory, in a time of its own.
	Name   string `json:"name,omitempty"`
	Clock  bool   `json:"clock,omitempty"`
	Memory bool   `json:"memory,omitempty"`

	// Of a process that calls.
	Workers int           `json:"workers,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"`
	Seed    uint64        `json:"seed,omitempty"`
}

// Env is the environment variable with the Spec of a process, in JSON.
const Env = "WARREN_CHAOS_SPEC"

// Ready is the line by which a process says that it serves, or calls.
const Ready = "ready"

// Heartbeat is that of all connections of a run: what is half open must be found
// out in seconds.
const Heartbeat = 2 * time.Second

// Environ returns the environment variable that makes a process one of the run's.
func (s Spec) Environ() (string, error) {
	text, err := json.Marshal(s)
	return Env + "=" + string(text), err
}

// child is what every process of a run has.
type child struct {
	control *proc.Control
	spec    Spec
	log     *history.Log
	logger  *slog.Logger
}

// begin reads the environment and opens the process's log.
func begin(standard string, stderr io.Writer) (c child, err error) {
	if c.control, err = proc.Child(); err != nil {
		return c, err
	}
	if err := json.Unmarshal([]byte(os.Getenv(Env)), &c.spec); err != nil {
		return c, fmt.Errorf("chaos: %s: %w", Env, err)
	}
	c.logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	c.log, err = history.Open(c.spec.Folder, cmp.Or(c.spec.Name, standard), c.spec.Start)
	return c, err
}

// Worker is a server's process, as the code that adds methods to the server sees
// it. All methods are safe for concurrent use.
type Worker struct {
	// Mode is that of the run, which the methods should have.
	Mode server.Mode

	backend Backend
	log     *history.Log
}

// Effect records that the call whose context this is has its effect now: once for
// each time that a handler runs, after what it did is done and will last. It
// returns when that is on disk.
func (w *Worker) Effect(ctx context.Context) error {
	req := warren.RequestFromContext(ctx)
	return w.log.Append(effect(w.log, req, history.Op{Name: req.Method}))
}

// EffectIn records it in the transaction of a method in transactional mode, whose store
// is a file.
func (w *Worker) EffectIn(ctx context.Context, tx *bbolt.Tx) error {
	req := warren.RequestFromContext(ctx)
	return fileState{tx}.Note(effect(w.log, req, history.Op{Name: req.Method}))
}

// Serve is what a server's process does: it makes a server with a store in a file as
// the run says, has methods add its methods, and serves until ctx ends or it is
// killed. Nil adds [Method].
func Serve(ctx context.Context, stdout, stderr io.Writer, methods func(*server.Server, *Worker) error) error {
	return ServeOn(ctx, File{}, stdout, stderr, methods)
}

// ServeOn is Serve with the store of another backend: that of the run.
func ServeOn(
	ctx context.Context, backend Backend, stdout, stderr io.Writer, methods func(*server.Server, *Worker) error,
) (err error) {
	c, err := begin("server", stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.log.Close()) }()
	broker := warren.Broker{URLs: c.spec.URLs, Name: "chaos server", Heartbeat: Heartbeat}
	options := BackendOptions{Logger: c.logger}
	if c.spec.Clock {
		options.Now = c.control.Now
	}
	switch {
	case c.spec.Memory:
		methods, options.SweepEvery, broker.Dial = registerMemory, time.Second, warp.Dial(c.control.Offset)
	case methods == nil:
		methods, options.Claim = register, claims{c.log}.claim
	}
	st, err := backend.Open(ctx, c.spec.Store, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := c.log.Append(history.Event{Kind: history.KindNote, Note: history.NoteOwner, Owner: st.Owner()}); err != nil {
		return err
	}
	s, err := server.New(server.Config{
		Broker: broker, Logger: c.logger, Store: st,
	})
	if err != nil {
		return err
	}
	if err := methods(s, &Worker{Mode: c.spec.Mode, backend: backend, log: c.log}); err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, Ready); err != nil {
		return err
	}
	<-ctx.Done()
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return s.Stop(stopCtx)
}
