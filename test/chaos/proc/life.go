package proc

import (
	"bufio"
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

// life is one run of a process, from its start to its end.
type life struct {
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

	mu         sync.Mutex
	controlled bool // it has called Child
	crash      Crash
	ids        int
	pending    map[int]chan message
	dumb       bool // no answer will come any more
}

// startLife starts the program once.
func (p *Process) startLife(number int, plan Plan, offset time.Duration) (*life, error) {
	l := &life{
		number: number, ready: make(chan struct{}), done: make(chan struct{}), pending: map[int]chan message{},
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
	var log *os.File
	if o.Log != "" {
		log = files.log(o.Log)
		cmd.Stdout, cmd.Stderr = log, log
	}
	var said *os.File
	if o.Ready != "" || o.ReadyWhen != nil || o.OnLine != nil {
		var w *os.File
		said, w = files.pipe()
		cmd.Stdout = w
	}
	if o.Ready == "" && o.ReadyWhen == nil {
		close(l.ready)
		l.readied.Do(func() {})
	}
	if files.err != nil {
		return nil, fmt.Errorf("proc: start: %w", files.err)
	}

	l.cmd, l.orders = cmd, ordersW
	started := make(chan error)
	files.keep(ordersW, answersR, said, log)
	go l.run(p, started, answersR, said, log)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("proc: start: %w", err)
	}
	return l, nil
}

// run is the life's keeper. The kernel kills a child when the thread that started
// it ends (see attributes), so that thread is this goroutine's until then.
func (l *life) run(p *Process, started chan<- error, answers, said, log *os.File) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() {
		for _, f := range []*os.File{l.orders, answers, said, log} {
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
	l.began = time.Now()
	if err := enter(l.cmd.Start); err != nil {
		started <- err
		return
	}
	l.pid = l.cmd.Process.Pid
	started <- nil

	var readers sync.WaitGroup
	readers.Go(func() { l.hear(answers) })
	if said != nil {
		readers.Go(func() { l.listen(o, said, log) })
	}
	awaitEnd(l.pid)
	l.reap()
	// What it wrote is in the pipes. A process that left the group may hold them open.
	soon := time.Now().Add(time.Second)
	for _, f := range []*os.File{answers, said} {
		if f != nil {
			_ = f.SetReadDeadline(soon)
		}
	}
	readers.Wait()
	l.finish(p)
}

// reap ends what is left of the group, whose number is the process's own as long
// as that is not reaped, and reaps the process.
func (l *life) reap() {
	l.reaping.Lock()
	defer l.reaping.Unlock()
	_ = signalGroup(l.pid, os.Kill)
	_ = l.cmd.Wait() // how it ended is in its state
	l.reaped = true
}

func (l *life) finish(p *Process) {
	l.mu.Lock()
	state := l.cmd.ProcessState
	l.exit = Exit{Start: l.number, Code: state.ExitCode(), Crash: l.crash, Lived: time.Since(l.began)}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		l.exit.Signal = status.Signal().String()
	}
	l.mu.Unlock()
	p.mu.Lock()
	p.exits = append(p.exits, l.exit)
	p.mu.Unlock()
	close(l.done)
}

// listen reads the process's standard output to its end.
func (l *life) listen(o *Options, said io.Reader, log io.Writer) {
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
			if !l.isReady() && ready(line) {
				l.readied.Do(func() { close(l.ready) })
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
func (l *life) hear(answers io.Reader) {
	lines := bufio.NewReader(answers)
	for {
		line, err := lines.ReadBytes('\n')
		var m message
		if err != nil || json.Unmarshal(line, &m) != nil {
			break
		}
		l.mu.Lock()
		switch {
		case m.Verb == verbHello:
			l.controlled = true
		case m.Crash != nil:
			l.crash = *m.Crash
		case l.pending[m.ID] != nil:
			l.pending[m.ID] <- m // has room for it
			delete(l.pending, m.ID)
		}
		l.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dumb = true
	for id, answer := range l.pending {
		close(answer)
		delete(l.pending, id)
	}
}

// signal sends a signal to the group.
func (l *life) signal(s os.Signal) error {
	l.reaping.Lock()
	defer l.reaping.Unlock()
	if l.reaped {
		return ErrEnded
	}
	return signalGroup(l.pid, s)
}

func (l *life) kill() { _ = l.signal(os.Kill) } // fails only if it has ended

func (l *life) ended() bool { return isClosed(l.done) }

func (l *life) isReady() bool { return isClosed(l.ready) }

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
