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

// demoServerCommand is what the demo starts its servers by.
func demoServerCommand() *cli.Command {
	return &cli.Command{
		Name:      "demo-server",
		Usage:     "a server of the demo",
		ArgsUsage: "METHOD",
		Hidden:    true,
		Flags:     urlFlags(defaultURL),
		Action:    demoServer,
	}
}

func demoServer(ctx context.Context, cmd *cli.Command) error {
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
	srv, err := server.New(server.Config{
		Broker: settings, Logger: slog.New(slog.NewTextHandler(cmd.Root().ErrWriter, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return usageError(cmd, "%v", err)
	}
	m := server.Method{Name: args[0], Queue: server.Queue{Expires: demoQueueExpires}}
	err = srv.HandleRaw(m, squareHandler(say))
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

// squareHandler works for some milliseconds, has its effect in the middle, and
// returns the square of the number in the body.
func squareHandler(say func(...any)) warren.Handler {
	return func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
		n, err := strconv.ParseUint(string(req.Body), 10, 32)
		if err != nil {
			return nil, warren.Errorf(warren.CodeInvalidArgument, "the body must be a decimal number")
		}
		work := time.Duration(n*7919%5000) * time.Microsecond
		time.Sleep(work)
		say(sayEffect, req.CallID)
		time.Sleep(work)
		return &warren.Reply{ContentType: "text/plain", Body: strconv.AppendUint(nil, n*n, 10)}, nil
	}
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
