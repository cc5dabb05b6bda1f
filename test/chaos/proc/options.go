package proc

import (
	"errors"
	"io"
	"time"
)

// Options says what to run. Only Path has no default.
type Options struct {
	// Path is the program; a name without a slash is looked up in PATH.
	Path string
	Args []string // without the program's name
	// Env is added to this process's own environment, as "KEY=value"; later entries
	// win.
	Env []string
	Dir string // the working directory. Default: this process's own.

	// Log is a file that standard output and standard error are appended to, of all
	// starts. Default: standard output is dropped, standard error is this process's.
	Log string
	// Stderr, if it is not nil, gets standard error instead, of all starts. Something that
	// the process has started, and that has left its group, can keep it open.
	Stderr io.Writer

	// Ready is the beginning of the line on standard output by which the process
	// says that it is ready. Start and Restart wait for it. Default: they do not wait.
	Ready string
	// ReadyWhen, if it is not nil, takes the place of Ready: it is called for each
	// line of standard output, without its end, on one goroutine for each start, until
	// it returns true.
	ReadyWhen func(line string) bool
	// ReadyWithin bounds that wait. Default: 30 s; negative: the context alone does.
	ReadyWithin time.Duration

	// OnLine is called for each line of standard output, without its end, on one
	// goroutine for each start. It must not wait for the process: a process whose
	// output is not read blocks. Default: nobody is told.
	OnLine func(line string)

	// OnHeld is called when the process holds a call at a point, as by the plan
	// "in-handler:hold", on one goroutine for each start. What was held before an Arm is
	// told before that returns. It must not wait for the process. Default: nobody is told.
	OnHeld func(at Crash)

	// Enter, if it is not nil, is called to start the process, on the thread that will
	// be its parent: (*netns.Namespace).Do has the process live in a namespace.
	Enter func(start func() error) error

	// Crash says where each start of the process kills itself, if it calls Child; see
	// SetCrash. Default: nowhere.
	Crash Plan
	// Seed makes the chances of Crash repeatable; the number of the start is added to
	// it, so that each start has its own. Default: 0, a seed like any other.
	Seed uint64
	// ClockOffset is how far the child's Control.Now is off at each start. Default: 0.
	ClockOffset time.Duration

	// BackoffMin and BackoffMax bound how long Restart waits after an incarnation that was
	// shorter than BackoffMax or never ready: the first time BackoffMin, then twice as
	// long each time. Defaults: 10 ms and 1 s. A longer incarnation starts again at once.
	BackoffMin, BackoffMax time.Duration
}

func (o Options) complete() (Options, error) {
	if o.Path == "" {
		return o, errors.New("proc: Options.Path is required")
	}
	if err := o.Crash.Check(); err != nil {
		return o, err
	}
	if o.ReadyWithin == 0 {
		o.ReadyWithin = 30 * time.Second
	}
	if o.BackoffMin == 0 {
		o.BackoffMin = 10 * time.Millisecond
	}
	if o.BackoffMax == 0 {
		o.BackoffMax = max(time.Second, o.BackoffMin)
	}
	if o.BackoffMin < 0 || o.BackoffMax < o.BackoffMin {
		return o, errors.New("proc: Options.BackoffMin must be positive and at most BackoffMax")
	}
	return o, nil
}

// Exit says how one incarnation of a process ended.
type Exit struct {
	Start  int // which incarnation, from 1
	Code   int // the exit code, or -1 if a signal ended it
	Signal string
	// Crash is where the process killed itself; its Point is empty if it did not.
	Crash Crash
	Lived time.Duration
}

// Sample is what a process uses at one moment.
type Sample struct {
	PID         int
	Descriptors int    // open ones, those of the control pipes included
	RSS         uint64 // resident memory, in bytes
	// Goroutines and Heap, in bytes after a collection, are -1 and 0 if the process
	// has not called Child.
	Goroutines int
	Heap       uint64
}
