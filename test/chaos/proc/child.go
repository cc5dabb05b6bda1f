package proc

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/internal/crashpoint"
)

// Control is what a child obeys. All methods are safe for concurrent use.
type Control struct {
	chaos  bool
	offset atomic.Int64 // of the clock, in nanoseconds

	mu      sync.Mutex
	trap    *trap
	answers io.Writer // nil: nobody listens
}

var child struct {
	once    sync.Once
	control *Control
	err     error
}

// Child puts this process under the control of the test that started it. Call it
// first of all, before a client or server is made. Without chaos in the
// environment it does nothing but return a Control whose clock is the machine's.
// A second call returns what the first did.
//
// The error says that the environment makes no sense, as by a plan that is
// misspelled; a process should not go on then. A process whose test has ended is
// killed by SIGKILL at once.
func Child() (*Control, error) {
	child.once.Do(func() {
		child.control, child.err = newControl(os.Getenv)
		// Meant for this process, not for those that it starts.
		for _, key := range []string{EnvCrash, EnvSeed, envPipes, envOffset} {
			_ = os.Unsetenv(key)
		}
	})
	return child.control, child.err
}

// Now is the time, by a clock that the test can step: for boltstore.Options.Now.
func (c *Control) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// Offset is how far that clock is ahead of the machine's.
func (c *Control) Offset() time.Duration { return time.Duration(c.offset.Load()) }

// UnderChaos reports whether a test or a crash plan controls this process.
func (c *Control) UnderChaos() bool { return c.chaos }

func newControl(getenv func(string) string) (*Control, error) {
	c := &Control{}
	plan, pipes := Plan(getenv(EnvCrash)), getenv(envPipes)
	if plan == "" && pipes == "" {
		return c, nil
	}
	c.chaos = true
	var seed uint64
	if text := getenv(EnvSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fmt.Errorf("proc: %s: %w", EnvSeed, err)
		}
	}
	if err := c.arm(plan, seed); err != nil {
		return nil, err
	}
	if text := getenv(envOffset); text != "" {
		if err := c.step(text); err != nil {
			return nil, err
		}
	}
	if pipes != "" {
		orders, answers, err := openPipes(pipes)
		if err != nil {
			return nil, err
		}
		c.answers = answers
		if _, err := answers.Write(message{Verb: verbHello}.line()); err != nil {
			killSelf() // the test has ended
		}
		go c.obey(orders)
	}
	// From the start, though nothing may be armed: servers ask once whether there is a hook.
	crashpoint.Set(c.reached)
	return c, nil
}

func openPipes(text string) (orders, answers *os.File, err error) {
	in, out, _ := strings.Cut(text, ",")
	reads, err1 := strconv.Atoi(in)
	writes, err2 := strconv.Atoi(out)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, fmt.Errorf("proc: %s: %w", envPipes, err)
	}
	keepFromChildren(reads)
	keepFromChildren(writes)
	return os.NewFile(uintptr(reads), "orders"), os.NewFile(uintptr(writes), "answers"), nil
}

func (c *Control) arm(plan Plan, seed uint64) error {
	trap, err := newTrap(plan, seed)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trap != nil {
		close(c.trap.released)
	}
	c.trap = trap
	return nil
}

func (c *Control) step(text string) error {
	offset, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("proc: offset of the clock: %w", err)
	}
	c.offset.Store(int64(offset))
	return nil
}

// reached is the hook of the crash points. A process that is to die is dead when
// the call would go on; others that reach the point at that instant wait.
func (c *Control) reached(point crashpoint.Point, method, callID string) {
	c.mu.Lock()
	trap := c.trap
	nth, sprung := trap.springs(point)
	if sprung == nil {
		c.mu.Unlock()
		return
	}
	crash := Crash{string(point), nth, method, callID}
	if sprung.hold {
		if c.answers != nil {
			_, _ = c.answers.Write(message{Held: &crash}.line()) // if nobody listens this process is killed soon
		}
		c.mu.Unlock()
		<-trap.released
		return
	}
	if c.answers != nil {
		_, _ = c.answers.Write(message{Crash: &crash}.line()) // nobody to tell: die all the same
	} else {
		fmt.Fprintf(os.Stderr, "proc: killed at %s (time %d), call %s of %s\n", crash.Point, crash.Nth, crash.CallID, crash.Method)
	}
	killSelf()
}

// obey carries out orders until the test has ended, and then the process.
func (c *Control) obey(orders io.Reader) {
	lines := bufio.NewReader(orders)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			killSelf()
		}
		var order message
		if err := json.Unmarshal(line, &order); err != nil {
			killSelf() // not a test that this process understands
		}
		answer := c.carryOut(order)
		answer.ID = order.ID
		c.mu.Lock()
		_, _ = c.answers.Write(answer.line())
		c.mu.Unlock()
	}
}

func (c *Control) carryOut(order message) message {
	var err error
	switch order.Verb {
	case verbArm:
		err = c.arm(Plan(order.Text), order.Seed)
	case verbClock:
		err = c.step(order.Text)
	case verbSample:
		// Collected, so that garbage does not pass for a leak.
		runtime.GC()
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		return message{Sample: &inside{runtime.NumGoroutine(), memory.HeapAlloc}}
	default:
		err = fmt.Errorf("proc: unknown order %q", order.Verb)
	}
	if err != nil {
		return message{Error: err.Error()}
	}
	return message{}
}

// killSelf ends this process by SIGKILL, and does not return.
func killSelf() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // the signal is on its way
}
