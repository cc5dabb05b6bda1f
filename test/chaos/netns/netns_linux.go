package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

func ipCommand(args ...string) *exec.Cmd {
	path, err := findIP()
	if err != nil {
		path = "ip" // the command then tells
	}
	return exec.Command(path, args...)
}

// ofThread is the namespace of the calling thread.
func ofThread() (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
}

// newNamespace makes a namespace without a name: the file holds it.
func newNamespace(addr string) (*Namespace, error) {
	if _, err := findIP(); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNotPermitted, err)
	}
	var made *os.File
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("%w (unshare: %w)", ErrNotPermitted, err)
		}
		var err error
		made, err = ofThread()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Namespace{addr, made}, nil
}

func findIP() (string, error) {
	for _, place := range []string{"ip", "/usr/sbin/ip", "/sbin/ip"} {
		if path, err := exec.LookPath(place); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no ip")
}

// Do calls f on a thread that is in the namespace: sockets that f makes, and
// processes that it starts, on its own goroutine, belong to the namespace for
// good. It returns what f does, or why the namespace could not be entered.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("netns: enter: %w", err)
		}
		return f()
	})
}

// onThread calls f on this goroutine, fixed to a thread whose namespace f may
// change: it is the one from before when onThread returns.
func onThread(f func() error) error {
	runtime.LockOSThread()
	home, err := ofThread()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("netns: %w", err)
	}
	defer home.Close()
	defer func() {
		// A thread that cannot go home stays locked, and ends with its goroutine: no
		// other code may find itself elsewhere.
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}
