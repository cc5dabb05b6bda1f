package policyfile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/reliability/policyfile"
)

// watching is a Watch of a real file on a clock that waits for it.
type watching struct {
	t         *testing.T
	dir, path string

	mu       sync.Mutex
	timeouts []time.Duration
	errs     []string
}

// refused is a timeout that the one who is told of it refuses.
const refused = 99 * time.Second

// watch runs steps while the file is watched. The first content is 1s.
func watch(t *testing.T, prepare func(*watching), steps func(*watching)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &watching{t: t, dir: dir, path: filepath.Join(dir, "policy.yaml")}
		prepare(w)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			policyfile.Watch(ctx, w.path, func(r reliability.Rules) error {
				w.mu.Lock()
				defer w.mu.Unlock()
				if timeout := *r.Methods["*"].Timeout; timeout != refused {
					w.timeouts = append(w.timeouts, timeout)
					return nil
				}
				return errors.New("the client refuses it")
			}, func(err error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.errs = append(w.errs, err.Error())
			})
		}()
		synctest.Wait()
		steps(w)
		cancel()
		<-done
	})
}

// content says one value, with a size of its own: two writes of one size within
// a tick of the file system's clock are the same to who looks from outside.
func content(timeout time.Duration) string {
	return fmt.Sprintf("methods:\n  \"*\": {timeout: %v}\n#%s\n", timeout, strings.Repeat("x", int(timeout/time.Millisecond)%977))
}

func (w *watching) write(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// pass waits until a change has been seen.
func (w *watching) pass() {
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

// want demands what has been loaded and told since the last time.
func (w *watching) want(timeouts []time.Duration, errs ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if fmt.Sprint(w.timeouts) != fmt.Sprint(timeouts) || len(w.errs) != len(errs) {
		w.t.Fatalf("loaded %v, errors %q; want %v, %q", w.timeouts, w.errs, timeouts, errs)
	}
	for i, err := range w.errs {
		if !strings.Contains(err, errs[i]) || strings.Contains(err, "\n") {
			w.t.Fatalf("error %q, want %q", err, errs[i])
		}
	}
	w.timeouts, w.errs = nil, nil
}

func seconds(n ...int) (list []time.Duration) {
	for _, n := range n {
		list = append(list, time.Duration(n)*time.Second)
	}
	return list
}

func written(w *watching) { w.write(content(time.Second)) }

func TestWatchLoadsAtFirstAndAfterEachChange(t *testing.T) {
	t.Parallel()
	watch(t, written, func(w *watching) {
		w.want(seconds(1))
		w.pass()
		w.want(nil)
		w.write(content(2 * time.Second))
		w.pass()
		w.want(seconds(2))
		w.write(content(3 * time.Second))
		w.pass()
		w.write(content(4 * time.Second))
		w.pass()
		w.want(seconds(3, 4))
	})
}

func TestWatchSurvivesRenameReplace(t *testing.T) {
	t.Parallel()
	watch(t, written, func(w *watching) {
		w.want(seconds(1))
		for n := 2; n < 5; n++ {
			other := filepath.Join(w.dir, ".policy.swp")
			if err := os.WriteFile(other, []byte(content(time.Duration(n)*time.Second)), 0o600); err != nil {
				w.t.Fatal(err)
			}
			if err := os.Rename(other, w.path); err != nil {
				w.t.Fatal(err)
			}
			w.pass()
			w.want(seconds(n))
		}
	})
}

// Kubernetes turns a link to a folder elsewhere.
func TestWatchSurvivesTurnedLinks(t *testing.T) {
	t.Parallel()
	version := func(w *watching, n int) string {
		dir := filepath.Join(w.dir, fmt.Sprint("v", n))
		if err := errors.Join(
			os.Mkdir(dir, 0o700),
			os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(content(time.Duration(n)*time.Second)), 0o600),
			os.Symlink(fmt.Sprint("v", n), filepath.Join(w.dir, "next")),
			os.Rename(filepath.Join(w.dir, "next"), filepath.Join(w.dir, "data")),
		); err != nil {
			w.t.Fatal(err)
		}
		return dir
	}
	watch(t, func(w *watching) {
		version(w, 1)
		if err := os.Symlink("data/policy.yaml", w.path); err != nil {
			t.Fatal(err)
		}
	}, func(w *watching) {
		w.want(seconds(1))
		version(w, 2)
		w.pass()
		w.want(seconds(2))
	})
}

func TestBrokenFileKeepsThePoliciesUntilItIsMended(t *testing.T) {
	t.Parallel()
	watch(t, written, func(w *watching) {
		w.want(seconds(1))
		w.write("methods:\n  \"*\": {timeout: 5}\n")
		w.pass()
		w.want(nil, w.path+`:2:9: methods.*.timeout: is 5, without a unit`)
		w.pass() // and is told of it once
		w.want(nil)
		w.write(content(2 * time.Second))
		w.pass()
		w.want(seconds(2))
	})
}

// A file that is truncated before it is written again is not a change.
func TestWatchLeavesAFileAloneWhileItIsWritten(t *testing.T) {
	t.Parallel()
	watch(t, written, func(w *watching) {
		w.want(seconds(1))
		w.write("")
		time.Sleep(1500 * time.Millisecond) // it has been looked at once
		w.write(content(2 * time.Second)[:20])
		time.Sleep(time.Second)
		w.write(content(2 * time.Second))
		w.pass()
		w.want(seconds(2))
		w.write("")
		w.pass()
		w.want(nil, `has no "methods"`)
		w.write(content(2 * time.Second)) // what is in force already
		w.pass()
		w.want(nil)
	})
}

func TestWatchWaitsForAFileThatIsNotThere(t *testing.T) {
	t.Parallel()
	watch(t, func(*watching) {}, func(w *watching) {
		w.pass()
		w.want(nil, "no such file")
		w.write(content(time.Second))
		w.pass()
		w.want(seconds(1))
		if err := os.Remove(w.path); err != nil {
			w.t.Fatal(err)
		}
		w.pass()
		w.want(nil, "no such file")
		w.write(content(2 * time.Second))
		w.pass()
		w.want(seconds(2))
	})
}

// Not in a bubble: the signal comes from outside it. The file is looked at every
// hour, so what is loaded is loaded by the signal.
func TestWatchTellsWhyRulesAreNotApplied(t *testing.T) {
	t.Parallel()
	watch(t, written, func(w *watching) {
		w.write(content(refused))
		w.pass()
		w.want(seconds(1), "the client refuses it")
		w.write(content(2 * time.Second))
		w.pass()
		w.want(seconds(2))
		w.write(content(refused))
		w.pass()
		w.want(nil, "the client refuses it")
	})
}

func TestHangupLoadsAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(timeout time.Duration) {
		if err := os.WriteFile(path, []byte(content(timeout)), 0o600); err != nil {
			t.Error(err)
		}
	}
	write(time.Second)
	loaded := make(chan time.Duration)
	w := policyfile.Watcher{
		Path: path, Every: time.Hour, Hangup: true,
		Apply: func(r reliability.Rules) error { loaded <- *r.Methods["*"].Timeout; return nil },
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	for n := 1; n < 4; n++ {
		if got := <-loaded; got != time.Duration(n)*time.Second {
			t.Errorf("loaded %v, want %d s", got, n)
		}
		write(time.Duration(n+1) * time.Second)
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	<-loaded
}
