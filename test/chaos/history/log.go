package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// suffix ends the name of every log's file.
const suffix = ".jsonl"

// ErrClosed is the error of Append after Close.
var ErrClosed = errors.New("history: the log is closed")

// Log is one process's part of a history. All methods are safe for concurrent use.
type Log struct {
	process string
	opened  time.Time     // with the monotonic clock
	offset  time.Duration // of opened, from the run's start

	mu      sync.Mutex
	file    *os.File
	waiting *group // what the next sync takes
	syncing bool   // a goroutine of Append is at the file
	idle    sync.Cond
	err     error // the first of the file; nothing is written after it
	closed  bool
}

// group is events that reach the disk together.
type group struct {
	lines []byte
	done  chan struct{} // closed when err is set
	err   error
}

func newGroup() *group { return &group{done: make(chan struct{})} }

// Open makes a new log in the folder, which it makes too if need be, for a process
// of that name: [A-Za-z0-9._-]. The name need not be unique: the file, and so
// [Log.Process], has the process ID too, and a process that is started again has
// another log. start is when the run began: the same instant for all processes of
// a run.
func Open(folder, name string, start time.Time) (*Log, error) {
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return nil, fmt.Errorf("history: %.60q cannot name a process: [A-Za-z0-9._-]", name)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	now := time.Now()
	l := &Log{opened: now, offset: now.Round(0).Sub(start.Round(0)), waiting: newGroup()}
	l.idle.L = &l.mu
	for n := 1; ; n++ {
		l.process = fmt.Sprintf("%s@%d", name, os.Getpid())
		if n > 1 {
			l.process = fmt.Sprintf("%s.%d", l.process, n)
		}
		file, err := os.OpenFile(filepath.Join(folder, l.process+suffix), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("history: %w", err)
		}
		l.file = file
		if err := syncFolder(folder); err != nil {
			return nil, errors.Join(fmt.Errorf("history: %w", err), file.Close())
		}
		return l, nil
	}
}

// syncFolder has the name of a new file survive what the file does.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Process names this log in the run: the name that was given to Open and "@" and
// the process ID.
func (l *Log) Process() string { return l.process }

// IsProcess reports whether target is that process, or the name that it shares with
// others.
func IsProcess(process, target string) bool {
	if process == target {
		return target != ""
	}
	name, _, found := strings.Cut(process, "@")
	return found && name == target
}

// Now returns the times of an event that happens now.
func (l *Log) Now() (at time.Duration, wall time.Time) {
	now := time.Now()
	return l.offset + now.Sub(l.opened), now.Round(0)
}

// Append writes the event and returns when it is on disk. Those of many goroutines
// share a sync: it costs each the time of two syncs at most, however many there are.
//
// If it fails, the event may be in the log all the same, and no event is written
// any more: every later Append has the same error.
func (l *Log) Append(e Event) error {
	if e.At == 0 && e.Wall.IsZero() {
		e.At, e.Wall = l.Now()
	}
	e.Process = l.process
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	mine := l.waiting
	mine.lines = append(append(mine.lines, line...), '\n')
	if !l.syncing {
		l.syncing = true
		go l.drain()
	}
	l.mu.Unlock()
	<-mine.done
	return mine.err
}

// drain writes what waits until nothing does. It runs once at a time.
func (l *Log) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting.lines) > 0 {
		g := l.waiting
		l.waiting = newGroup()
		if l.err == nil {
			l.mu.Unlock()
			err := l.write(g.lines)
			l.mu.Lock()
			l.err = err
		}
		g.err = l.err
		close(g.done)
	}
	l.syncing = false
	l.idle.Broadcast()
}

func (l *Log) write(lines []byte) error {
	if _, err := l.file.Write(lines); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

// Err returns the error of the first Append that failed, which is that of all since.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close waits for what is being appended and closes the file. Closing twice does
// nothing more. It returns what Err does, or the error of the close.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !l.closed
	l.closed = true
	for l.syncing {
		l.idle.Wait()
	}
	if !first {
		return l.err
	}
	return errors.Join(l.err, l.file.Close())
}
