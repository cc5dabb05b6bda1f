package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/proc"
)

// Spec says what a server process of a run is to do. It travels in the
// environment.
type Spec struct {
	URLs   []string    `json:"urls"`
	Folder string      `json:"folder"` // of the run's logs, and of the store's file
	Start  time.Time   `json:"start"`  // of the run
	Mode   server.Mode `json:"mode"`
}

// Env is the environment variable with the Spec of a server process, in JSON.
const Env = "WARREN_CHAOS_SERVER"

// Ready is the line by which a server process says that it serves.
const Ready = "ready"

// Heartbeat is that of all connections of a run: what is half open must be found
// out in seconds.
const Heartbeat = 2 * time.Second

// Environ returns the environment variable that makes a process a server.
func (s Spec) Environ() (string, error) {
	text, err := json.Marshal(s)
	return Env + "=" + string(text), err
}

// StorePath is the file of the server's store.
func (s Spec) StorePath() string { return filepath.Join(s.Folder, "store.db") }

// Serve is what a server process does: it serves [Method] as the environment says,
// until ctx ends, or it is killed.
func Serve(ctx context.Context, stdout, stderr io.Writer) (err error) {
	control, err := proc.Child()
	if err != nil {
		return err
	}
	var spec Spec
	if err := json.Unmarshal([]byte(os.Getenv(Env)), &spec); err != nil {
		return fmt.Errorf("chaos: %s: %w", Env, err)
	}
	log, err := history.Open(spec.Folder, "server", spec.Start)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	st, err := boltstore.Open(spec.StorePath(), boltstore.Options{Now: control.Now, Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	s, err := server.New(server.Config{
		Broker: warren.Broker{URLs: spec.URLs, Name: "chaos server", Heartbeat: Heartbeat}, Logger: logger, Store: st,
	})
	if err != nil {
		return err
	}
	// Few at a time, so that a kill meets handlers and not only lines in front of them.
	err = Register(s, server.Method{Concurrency: 16, Dedupe: server.Dedupe{Mode: spec.Mode}}, log)
	if err != nil {
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
