package amqptest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// New starts a broker for a test. It is closed when the test and its subtests
// have ended; if the test has failed, its log is shown then, unless Options.Logf
// takes it. New ends the test if the broker cannot be started.
func New(t testing.TB, options Options) *Broker {
	t.Helper()
	var log lines
	if options.Logf == nil {
		options.Logf = log.add
	}
	b, err := Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		t.Helper()
		_ = b.Close()
		if t.Failed() {
			log.show(t)
			t.Logf("amqptest: %s", b.failureReport(t.Name()))
		}
	})
	return b
}

// maxLines is how many lines of a broker's log are kept for a failed test.
const maxLines = 100

// lines are the last lines of a log.
type lines struct {
	mu      sync.Mutex
	last    []string
	dropped int
}

func (l *lines) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) == maxLines {
		l.last = slices.Delete(l.last, 0, maxLines/2)
		l.dropped += maxLines / 2
	}
	l.last = append(l.last, fmt.Sprintf(format, args...))
}

func (l *lines) show(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped > 0 {
		t.Logf("amqptest: %d lines before these", l.dropped)
	}
	for _, line := range l.last {
		t.Logf("amqptest: %s", line)
	}
}
