package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/internal/crashpoint"
)

// fleet is the demo's servers: processes of this program, one in each place.
type fleet struct {
	executable, method string
	environment        []string
	effects            *effects
	fail               context.CancelCauseFunc // ends the demo
	held               chan *demoProcess       // asks to be killed, or let go

	mu     sync.Mutex
	places []*demoProcess
}

// demoProcess is one server process, from its start to its end.
type demoProcess struct {
	place  int
	cmd    *exec.Cmd
	orders io.WriteCloser
	stderr tail

	ready   chan struct{}
	done    chan struct{} // closed when it has ended and all it said is read
	armed   chan string   // numbers of orders
	heldFor atomic.Value  // the number of the order for which it holds a request
	wanted  atomic.Bool   // its end is no surprise
	err     error         // how it ended; read after done
}

func newFleet(executable, method string, urls []string, fail context.CancelCauseFunc) *fleet {
	return &fleet{
		executable: executable, method: method, effects: &effects{executions: map[string]int{}}, fail: fail,
		// In the environment, since the arguments of processes are everybody's to read.
		environment: append(os.Environ(), "WARREN_URL="+strings.Join(urls, ",")),
		held:        make(chan *demoProcess, 1024),
	}
}

// start fills n places and waits until all of them serve.
func (f *fleet) start(ctx context.Context, n int) error {
	f.places = make([]*demoProcess, n)
	errs := make([]error, n)
	var starting sync.WaitGroup
	for place := range n {
		starting.Go(func() { errs[place] = f.launch(ctx, place) })
	}
	starting.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// launch starts a server in a place and waits until it serves.
func (f *fleet) launch(ctx context.Context, place int) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	p := &demoProcess{
		place: place, ready: make(chan struct{}), done: make(chan struct{}), armed: make(chan string, 16),
	}
	p.heldFor.Store("")
	// It lives until it is killed or stopped.
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), f.executable, "demo-server", f.method)
	p.cmd.Env, p.cmd.Stderr = f.environment, &p.stderr
	orders, err := p.cmd.StdinPipe()
	if err != nil {
		return exit(exitInternal, "start a server: %w", err)
	}
	said, err := p.cmd.StdoutPipe()
	if err != nil {
		return exit(exitInternal, "start a server: %w", err)
	}
	p.orders = orders
	if err := p.cmd.Start(); err != nil {
		return exit(exitInternal, "start a server: %w", err)
	}
	f.mu.Lock()
	f.places[place] = p
	f.mu.Unlock()
	go f.follow(p, said)
	select {
	case <-p.ready:
		return nil
	case <-p.done:
		return p.ended()
	case <-ctx.Done():
		return exit(exitInternal, "server %d does not start: %w", place+1, ctx.Err())
	}
}

// follow reads what a server says until it has ended.
func (f *fleet) follow(p *demoProcess, said io.Reader) {
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case sayEffect:
			f.effects.add(rest)
		case sayReady:
			close(p.ready)
		case sayArmed:
			p.armed <- rest
		case sayHeld:
			p.heldFor.Store(rest)
			f.held <- p
		}
	}
	p.err = p.cmd.Wait()
	close(p.done)
	if !p.wanted.Load() {
		f.fail(p.ended())
	}
}

// ended is the error of a server that nobody killed. It is called after done.
func (p *demoProcess) ended() error {
	code := exitInternal
	var e *exec.ExitError
	if errors.As(p.err, &e) && e.ExitCode() == exitBroker {
		code = exitBroker
	}
	last := strings.TrimPrefix(p.stderr.lastLine().Error(), "warren: ")
	return exit(code, "server %d ended by itself: %s", p.place+1, last)
}

func (f *fleet) all() []*demoProcess {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*demoProcess(nil), f.places...)
}

// arm makes every server hold the next request that reaches the point, and
// returns when all of them know.
func (f *fleet) arm(ctx context.Context, number string, point crashpoint.Point) error {
	for _, p := range f.all() {
		if err := p.order(orderArm, number, point); err != nil {
			return err
		}
	}
	for _, p := range f.all() {
		for armed := ""; armed != number; {
			select {
			case armed = <-p.armed:
			case <-p.done:
				return p.ended()
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// disarm lets requests go that servers hold.
func (f *fleet) disarm() {
	for _, p := range f.all() {
		_ = p.order(orderDisarm) // one that has ended holds nothing
	}
}

func (p *demoProcess) order(words ...any) error {
	if _, err := fmt.Fprintln(p.orders, words...); err != nil {
		return fmt.Errorf("server %d takes no orders: %w", p.place+1, err)
	}
	return nil
}

// kill ends the process with SIGKILL and returns when it is gone.
func (p *demoProcess) kill() {
	p.wanted.Store(true)
	_ = p.cmd.Process.Kill() // fails only if it has just ended
	<-p.done
	_ = p.orders.Close()
}

// stopPatience is how long a server may take for what it has in hand.
const stopPatience = 10 * time.Second

// stop lets the servers end in order.
func (f *fleet) stop(ctx context.Context) error {
	for _, p := range f.all() {
		p.wanted.Store(true)
		_ = p.orders.Close() // tells it to stop
	}
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	for _, p := range f.all() {
		select {
		case <-p.done:
			if p.err != nil {
				return p.ended()
			}
		case <-ctx.Done():
			return exit(exitInternal, "server %d does not stop", p.place+1)
		}
	}
	return nil
}

// end kills what still runs.
func (f *fleet) end() {
	for _, p := range f.all() {
		if p != nil {
			p.kill()
		}
	}
}

// effects counts executions by call, from what the handlers have written.
type effects struct {
	mu         sync.Mutex
	executions map[string]int
}

func (e *effects) add(callID string) {
	e.mu.Lock()
	e.executions[callID]++
	e.mu.Unlock()
}

// repeated is how many calls were executed more than once.
func (e *effects) repeated() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, executions := range e.executions {
		if executions > 1 {
			n++
		}
	}
	return n
}
