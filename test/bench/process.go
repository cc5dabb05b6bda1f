package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// process is a worker, seen from its parent. Its methods are for one goroutine.
type process struct {
	side     string
	cmd      *exec.Cmd
	orders   io.Writer
	messages <-chan message // closed when the worker has ended
	cancel   context.CancelFunc
	stderr   tail
}

// startWorker starts one side of a variant. It is stopped when the context ends,
// or by stop, which must be called in either case.
func startWorker(ctx context.Context, executable []string, side, variant string, s spec) (*process, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &process{side: side, cancel: cancel}
	args := append(executable[1:len(executable):len(executable)], side, variant)
	p.cmd = exec.CommandContext(ctx, executable[0], args...)
	p.cmd.Stderr = &p.stderr
	orders, err := p.cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%s worker: %w", side, err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%s worker: %w", side, err)
	}
	p.orders = orders
	// A worker ends with its input, and is killed if it does not.
	p.cmd.Cancel = orders.Close
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("%s worker: %w", side, err)
	}
	messages := make(chan message, 1)
	p.messages = messages
	go readMessages(out, messages)

	line, err := json.Marshal(s)
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%s worker: %w", side, err)
	}
	_ = p.order(string(line)) // a worker that has ended already says why to receive
	return p, nil
}

// readMessages reads until the worker ends. Its output is taken to the last byte,
// so that a worker never blocks on it.
func readMessages(out io.Reader, messages chan<- message) {
	defer close(messages)
	lines := json.NewDecoder(out)
	for {
		var m message
		if err := lines.Decode(&m); err != nil {
			if !errors.Is(err, io.EOF) {
				messages <- message{Error: fmt.Sprintf("unreadable answer: %v", err)}
			}
			_, _ = io.Copy(io.Discard, out)
			return
		}
		messages <- m
	}
}

func (p *process) order(line string) error {
	if _, err := io.WriteString(p.orders, line+"\n"); err != nil {
		return fmt.Errorf("%s worker: %w", p.side, err)
	}
	return nil
}

// ask gives an order and waits for the answer.
func (p *process) ask(ctx context.Context, order string) (message, error) {
	if err := p.order(order); err != nil {
		// Why it no longer reads is among what it has said.
		if _, told := p.receive(ctx); told != nil {
			return message{}, told
		}
		return message{}, err
	}
	return p.receive(ctx)
}

// receive waits for a message. A worker's error is returned as one.
func (p *process) receive(ctx context.Context) (message, error) {
	select {
	case m, ok := <-p.messages:
		switch {
		case !ok:
			p.stop()
			return m, fmt.Errorf("%s worker: ended (%v): %s", p.side, p.cmd.ProcessState, p.stderr.text())
		case m.Error != "":
			return m, fmt.Errorf("%s worker: %s", p.side, m.Error)
		}
		return m, nil
	case <-ctx.Done():
		return message{}, fmt.Errorf("%s worker: %w", p.side, context.Cause(ctx))
	}
}

// stop ends the worker and waits for it. It may be called more than once.
func (p *process) stop() {
	p.cancel()
	for range p.messages {
		// What it says now is too late.
	}
	_ = p.cmd.Wait()
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

func (t *tail) Write(b []byte) (int, error) {
	const most = 4 << 10
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - most; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

// text may be called once nothing is written any more.
func (t *tail) text() string { return strings.TrimSpace(string(t.kept)) }
