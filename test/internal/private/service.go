package private

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Service is what servers have that work in a folder and listen at a port: how they are
// stopped, killed, started again and closed. It is a part of a kit's server. All methods are safe for
// concurrent use. Stop and Restart take turns; Kill and Close interrupt them.
type Service struct {
	kind    string // for messages
	logf    func(format string, args ...any)
	leave   syscall.Signal // asks the server to end in order
	patient time.Duration
	boot    func(context.Context) error

	Dir      string // the server's own folder, without links
	Port     *Port
	Daemon   *Daemon
	watchdog *Watchdog

	closing sync.Once
	closed  error
}

// ServiceOptions say how a kind of server is handled.
type ServiceOptions struct {
	Kind   string // the kit's name
	Folder string // in which the server's own is made
	Data   string // the name of the folder in that in which its processes work
	Then   string // a script for when they are gone; see Watch
	Leave  syscall.Signal
	// Patience bounds Restart.
	Patience time.Duration
	// Boot starts the server on the data that it has. After an error it does not run.
	Boot func(context.Context) error
	Logf func(format string, args ...any) // nil: nothing is reported
}

// Prepare makes the folder with its guard, and reserves the port. After an error, Close clears
// up.
func (s *Service) Prepare(o ServiceOptions) error {
	s.kind, s.logf, s.leave, s.patient, s.boot = o.Kind, o.Logf, o.Leave, o.Patience, o.Boot
	dir, err := os.MkdirTemp(o.Folder, "warren-"+o.Kind+"-")
	if err != nil {
		return err
	}
	// Links would hide which processes work in the folder.
	if s.Dir, err = filepath.EvalSymlinks(dir); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	data := filepath.Join(s.Dir, o.Data)
	if s.watchdog, err = StartWatchdog(Watch{Folder: s.Dir, Data: data, Then: o.Then}); err != nil {
		return err
	}
	s.Daemon = NewDaemon(data, filepath.Join(s.Dir, o.Kind+".log"))
	s.Port, err = ReservePort()
	return err
}

// Logf reports what is done to the server.
func (s *Service) Logf(format string, args ...any) {
	if s.logf != nil {
		s.logf(s.kind+": "+format, args...)
	}
}

// Addr is the loopback host and port that the server accepts connections on.
func (s *Service) Addr() string { return s.Port.Addr() }

// PID is the process ID of the server's main process, or 0 while it is down.
func (s *Service) PID() int { return s.Daemon.PID() }

// Log returns the server's log since it was first started. It is empty once the server
// is closed.
func (s *Service) Log() string { return s.Daemon.Log() }

// Stop ends the server as an administrator would. All stays for Restart. A frozen server is
// thawed first; one that is down stays so, without an error.
func (s *Service) Stop(ctx context.Context) error {
	if err := s.Daemon.Stop(ctx, s.leave); err != nil {
		return s.failed(err)
	}
	s.Logf("%s stopped", s.Dir)
	return nil
}

// Kill ends all processes of the server with SIGKILL, whatever they are doing, and
// returns when they are gone. It does nothing if the server is down.
func (s *Service) Kill() {
	s.Daemon.Kill()
	s.Logf("%s killed", s.Dir)
}

// Restart starts the server again on the same port and the same data, and returns when
// it is ready. One that still runs is stopped first. After an error it is down, unless it could
// not be stopped, and Restart may be called again.
func (s *Service) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.patient)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		return err
	}
	if err := s.boot(ctx); err != nil {
		return s.failed(fmt.Errorf("restart: %w", err))
	}
	return nil
}

// Freeze stops all processes of the server with SIGSTOP, so that its connections stay open
// and say nothing, like those of a machine that hangs. It fails if the server is down.
func (s *Service) Freeze() error { return s.failed(s.Daemon.Freeze()) }

// Thaw lets a frozen server go on. It fails if the server is down and does nothing if it
// is not frozen.
func (s *Service) Thaw() error { return s.failed(s.Daemon.Thaw()) }

// Close ends the server and everything that belongs to it without grace, removes its
// folder, and returns when both are gone. It is legal in every state and more than once;
// later calls return what the first one did.
func (s *Service) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Service) close() error {
	var err error
	if s.watchdog != nil {
		err = s.watchdog.Finish()
	}
	if s.Daemon != nil {
		s.Daemon.Reap()
	}
	s.Port.Release()
	if s.Dir != "" {
		err = errors.Join(err, os.RemoveAll(s.Dir))
	}
	if err != nil {
		return s.failed(fmt.Errorf("close: %w", err))
	}
	s.Logf("%s closed", s.Dir)
	return nil
}

// PortWasTaken reports whether the server did not start because another program has its port.
func (s *Service) PortWasTaken() bool {
	return s.Daemon != nil && strings.Contains(s.Log(), "Address already in use")
}

func (s *Service) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", s.kind, err)
}
