package proc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// incarnation is one run of a process, from its start to its end.
type incarnation struct {
	number  int
	cmd     *exec.Cmd
	pid     int
	began   time.Time
	ready   chan struct{} // closed when the process has said so
	readied sync.Once
	done    chan struct{} // closed when it is reaped, and all that it said is read
	exit    Exit          // set when done is closed

	reaping sync.Mutex
	reaped  bool // its number may be another's

	orders *os.File // the end that this process writes

	controlled chan struct{} // closed when it is known to have called Child

	mu      sync.Mutex
	crash   Crash
	ids     int
	pending map[int]chan message
	dumb    bool // no answer will come any more
}

// startIncarnation starts the program once.
func (p *Process) startIncarnation(number int, plan Plan, offset time.Duration) (*incarnation, error) {
	in := &incarnation{
		number: number, ready: make(chan struct{}), done: make(chan struct{}), controlled: make(chan struct{}), pending: map[int]chan message{},
	}
	o := &p.options
	cmd := exec.Command(o.Path, o.Args...)
	cmd.Dir = o.Dir
	cmd.Env = append(append(os.Environ(), o.Env...),
		p.mark,
		EnvCrash+"="+string(plan),
		fmt.Sprintf("%s=%d", EnvSeed, o.Seed+uint64(number)),
		envPipes+"=3,4",
		envOffset+"="+offset.String(),
	)
	cmd.SysProcAttr = attributes()
	var files openFiles
	defer files.close() // the child's ends, once it has them, and all if there is no child

	ordersR, ordersW := files.pipe()
	answersR, answersW := files.pipe()
	cmd.ExtraFiles = []*os.File{ordersR, answersW}
	cmd.Stderr = os.Stderr
	if o.Stderr != nil {
		cmd.Stderr = o.Stderr
	}
	var log *os.File
	if o.Log != "" {
		log = files.log(o.Log)
		cmd.Stdout = log
		if o.Stderr == nil {
			cmd.Stderr = log
		}
	}
	var said *os.File
	if o.Ready != "" || o.ReadyWhen != nil || o.OnLine != nil {
		var w *os.File
		said, w = files.pipe()
		cmd.Stdout = w
	}
	if o.Ready == "" && o.ReadyWhen == nil {
		close(in.ready)
		in.readied.Do(func() {})
	}
	if files.err != nil {
		return nil, fmt.Errorf("proc: start: %w", files.err)
	}

	in.cmd, in.orders = cmd, ordersW
	started := make(chan error)
	files.keep(ordersW, answersR, said, log)
	go in.run(p, started, answersR, said, log)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("proc: start: %w", err)
	}
	return in, nil
}

// run is the incarnation's keeper. The kernel kills a child when the thread that started
// it ends (see attributes), so that thread is this goroutine's until then.
func (in *incarnation) run(p *Process, started chan<- error, answers, said, log *os.File) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() {
		for _, f := range []*os.File{in.orders, answers, said, log} {
			if f != nil {
				_ = f.Close()
			}
		}
	}()
	o := &p.options
	enter := o.Enter
	if enter == nil {
		enter = func(start func() error) error { return start() }
	}
	in.began = time.Now()
	if err := enter(in.cmd.Start); err != nil {
		started <- err
		return
	}
	in.pid = in.cmd.Process.Pid
	started <- nil

	var readers sync.WaitGroup
	readers.Go(func() { in.hear(answers, o.OnHeld) })
	if said != nil {
		readers.Go(func() { in.listen(o, said, log) })
	}
	in.awaitEnd()
	// What it wrote is in the pipes. A process that left the group may hold them open.
	soon := time.Now().Add(time.Second)
	for _, f := range []*os.File{answers, said} {
		if f != nil {
			_ = f.SetReadDeadline(soon)
		}
	}
	readers.Wait()
	in.finish(p)
}

func (in *incarnation) finish(p *Process) {
	in.mu.Lock()
	state := in.cmd.ProcessState
	in.exit = Exit{Start: in.number, Code: state.ExitCode(), Crash: in.crash, Lived: time.Since(in.began)}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		in.exit.Signal = status.Signal().String()
	}
	in.mu.Unlock()
	p.mu.Lock()
	p.exits = append(p.exits, in.exit)
	p.mu.Unlock()
	close(in.done)
}

// listen reads the process's standard output to its end.
func (in *incarnation) listen(o *Options, said io.Reader, log io.Writer) {
	ready := o.ReadyWhen
	if ready == nil {
		ready = func(line string) bool { return o.Ready != "" && strings.HasPrefix(line, o.Ready) }
	}
	lines := bufio.NewReader(said)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			if log != (*os.File)(nil) {
				_, _ = io.WriteString(log, line) // a full disk must not stop the process
			}
			line = strings.TrimSuffix(line, "\n")
			if !in.isReady() && ready(line) {
				in.readied.Do(func() { close(in.ready) })
			}
			if o.OnLine != nil {
				o.OnLine(line)
			}
		}
		if err != nil {
			return
		}
	}
}

// hear reads what the child says to this package, to its end.
func (in *incarnation) hear(answers io.Reader, onHeld func(Crash)) {
	lines := bufio.NewReader(answers)
	for {
		line, err := lines.ReadBytes('\n')
		var m message
		if err != nil || json.Unmarshal(line, &m) != nil {
			break
		}
		if m.Held != nil && onHeld != nil {
			onHeld(*m.Held)
		}
		in.mu.Lock()
		switch {
		case m.Verb == verbHello:
			close(in.controlled)
		case m.Crash != nil:
			in.crash = *m.Crash
		case in.pending[m.ID] != nil:
			in.pending[m.ID] <- m // has room for it
			delete(in.pending, m.ID)
		}
		in.mu.Unlock()
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dumb = true
	for id, answer := range in.pending {
		close(answer)
		delete(in.pending, id)
	}
}

// signal sends a signal to the group.
func (in *incarnation) signal(s os.Signal) error {
	in.reaping.Lock()
	defer in.reaping.Unlock()
	if in.reaped {
		return ErrEnded
	}
	return signalGroup(in.pid, s)
}

func (in *incarnation) kill() { _ = in.signal(os.Kill) } // fails only if it has ended

func (in *incarnation) ended() bool { return isClosed(in.done) }

func (in *incarnation) isReady() bool { return isClosed(in.ready) }

// helloWithin is how long the word of a process that it has called Child may take to be read.
const helloWithin = time.Second

// isControlled reports whether the process has called Child. One that is ready has done that
// before, or never will.
func (in *incarnation) isControlled(ctx context.Context) bool {
	if !in.isReady() {
		return isClosed(in.controlled)
	}
	late := time.NewTimer(helloWithin)
	defer late.Stop()
	select {
	case <-in.controlled:
	case <-in.done:
	case <-late.C:
	case <-ctx.Done():
	}
	return isClosed(in.controlled)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// openFiles collects files, and the first error.
type openFiles struct {
	files []*os.File
	err   error
}

func (f *openFiles) pipe() (r, w *os.File) {
	r, w, err := os.Pipe()
	f.err = errors.Join(f.err, err)
	if err == nil {
		f.files = append(f.files, r, w)
	}
	return r, w
}

func (f *openFiles) log(path string) *os.File {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	f.err = errors.Join(f.err, err)
	if err == nil {
		f.files = append(f.files, file)
	}
	return file
}

// keep takes files out of the collection: they are another's to close.
func (f *openFiles) keep(kept ...*os.File) {
	rest := f.files[:0]
	for _, file := range f.files {
		mine := true
		for _, k := range kept {
			mine = mine && file != k
		}
		if mine {
			rest = append(rest, file)
		}
	}
	f.files = rest
}

func (f *openFiles) close() {
	for _, file := range f.files {
		_ = file.Close()
	}
}
