package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/proc"
)

// What a server of the demo says on its standard output, a line at a time.
const (
	sayReady  = "ready"
	sayEffect = "effect" // effect CALL_ID: the handler has had its effect
)

// What tells a server of the demo of its store, which is not that of the tool's
// settings.
const (
	demoStoreVariable = "WARREN_DEMO_STORE"
	demoModeVariable  = "WARREN_DEMO_STORE_MODE"
)

// demoServerCommand is what the demo starts its servers by.
func demoServerCommand() *cli.Command {
	return &cli.Command{
		Name:      "demo-server",
		Usage:     "a server of the demo",
		ArgsUsage: "METHOD",
		Hidden:    true,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "store", Sources: cli.EnvVars(demoStoreVariable)},
			&cli.StringFlag{Name: "store-mode", Value: server.AtMostOnce.String(), Sources: cli.EnvVars(demoModeVariable)},
		}, urlFlags(defaultURL)...),
		Action: demoServer,
	}
}

func demoServer(ctx context.Context, cmd *cli.Command) (err error) {
	if _, err := proc.Child(); err != nil {
		return exit(exitInternal, "%w", err)
	}
	settings, err := brokerSettings(cmd)
	if err != nil {
		return err
	}
	args, err := arguments(cmd, 1, 1)
	if err != nil {
		return err
	}
	say := newSpeaker(cmd.Root().Writer)
	cfg := server.Config{
		Broker: settings, Logger: slog.New(slog.NewTextHandler(cmd.Root().ErrWriter, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	mem, err := openMemory(ctx, cmd, cfg.Logger)
	if err != nil {
		return err
	}
	if mem != nil {
		defer func() { err = errors.Join(err, mem.closes()) }()
		cfg.Store = mem.store
	}
	srv, err := server.New(cfg)
	if err != nil {
		return usageError(cmd, "%v", err)
	}
	m := server.Method{Name: args[0], Queue: server.Queue{Expires: demoQueueExpires}}
	if mem != nil && mem.mode == server.Transactional {
		m.Codec = textCodec{}
		err = server.HandleTx(srv, m, squareInTransaction)
	} else {
		err = srv.HandleRaw(mem.remembered(m), squareHandler(say))
	}
	if err != nil {
		return usageError(cmd, "%v", err)
	}
	startCtx, cancelStart := context.WithTimeout(ctx, startPatience)
	defer cancelStart()
	if err := srv.Start(startCtx); err != nil {
		return startError(err)
	}
	say(sayReady)
	<-ctx.Done()
	stopCtx, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancelStop()
	if err := srv.Stop(stopCtx); err != nil {
		return exit(exitInternal, "%w", err)
	}
	return nil
}

// newSpeaker returns what writes whole lines, each in one piece, so that a kill
// cuts none.
func newSpeaker(w io.Writer) func(words ...any) {
	var mu sync.Mutex
	return func(words ...any) {
		line := fmt.Sprintln(words...)
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.WriteString(w, line) // without a demo to read it nothing matters
	}
}

// work takes some milliseconds, half of what a handler of the demo's has to do.
func (n number) work() { time.Sleep(time.Duration(n*7919%5000) * time.Microsecond) }

// squareHandler works for some milliseconds, has its effect in the middle, and
// returns the square of the number in the body.
func squareHandler(say func(...any)) warren.Handler {
	return func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
		var n number
		if err := n.UnmarshalText(req.Body); err != nil {
			return nil, warren.Errorf(warren.CodeInvalidArgument, "the body: %v", err)
		}
		n.work()
		say(sayEffect, req.CallID)
		n.work()
		return &warren.Reply{ContentType: "text/plain", Body: strconv.AppendInt(nil, int64(n*n), 10)}, nil
	}
}

// squareInTransaction does the same, and its effect is a row that commits with the
// record of the call.
func squareInTransaction(ctx context.Context, tx pgx.Tx, n number) (string, error) {
	n.work()
	if _, err := tx.Exec(ctx, "INSERT INTO "+demoEffects+" (n) VALUES ($1)", int64(n)); err != nil {
		return "", err
	}
	n.work()
	return strconv.FormatInt(int64(n*n), 10), nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 2 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - most; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// lastLine is the error that a server of the demo ended with, if it did.
func (t *tail) lastLine() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(t.kept))
	if text == "" {
		return errors.New("it said nothing")
	}
	return errors.New(text[strings.LastIndexByte(text, '\n')+1:])
}
