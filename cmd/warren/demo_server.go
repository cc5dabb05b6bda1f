package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/server"
)

// What the demo and its servers tell each other, a line at a time: the demo on
// the server's standard input, whose end is the order to stop, the server on
// its standard output.
const (
	orderArm    = "arm"    // arm NUMBER POINT: hold the next request that reaches the point
	orderDisarm = "disarm" // let go what is held

	sayReady  = "ready"
	sayArmed  = "armed"  // armed NUMBER
	sayHeld   = "held"   // held NUMBER: a request is at the point, and goes no further
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
	// A terminal's Ctrl-C reaches the demo's servers too; the demo ends them.
	signal.Ignore(os.Interrupt)
	settings, err := brokerSettings(cmd)
	if err != nil {
		return err
	}
	args, err := arguments(cmd, 1, 1)
	if err != nil {
		return err
	}
	say := newSpeaker(cmd.Root().Writer)
	traps := &trap{say: say}
	crashpoint.Set(traps.reached)

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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		obey(cmd.Root().Reader, traps)
	}()
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

// obey takes orders until the input ends.
func obey(orders io.Reader, traps *trap) {
	defer traps.disarm()
	lines := bufio.NewScanner(orders)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 3 && words[0] == orderArm:
			traps.arm(words[1], crashpoint.Point(words[2]))
		case len(words) == 1 && words[0] == orderDisarm:
			traps.disarm()
		}
	}
}

// trap holds a request at a crash point, for the demo to kill the process.
type trap struct {
	say func(...any)

	mu      sync.Mutex
	number  string
	point   crashpoint.Point // empty: not armed
	release chan struct{}    // nil: nothing can be held
}

// reached is the crash points' hook.
func (t *trap) reached(point crashpoint.Point, _, _ string) {
	t.mu.Lock()
	if point != t.point {
		t.mu.Unlock()
		return
	}
	t.point = ""
	number, release := t.number, t.release
	t.mu.Unlock()
	t.say(sayHeld, number)
	<-release
}

func (t *trap) arm(number string, point crashpoint.Point) {
	t.disarm()
	t.mu.Lock()
	t.number, t.point, t.release = number, point, make(chan struct{})
	t.mu.Unlock()
	t.say(sayArmed, number)
}

func (t *trap) disarm() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.point = ""
	if t.release != nil {
		close(t.release)
		t.release = nil
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
