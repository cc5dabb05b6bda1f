package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/warren-rpc/warren/test/internal/private"
)

// removeSegment removes the small segment of System V's shared memory by which a
// killed server still holds its data: the kernel would keep it until the machine ends.
const removeSegment = `ipcrm -m "$(sed -n '7s/.* //p' "$FOLDER/data/postmaster.pid")" 2>/dev/null || :`

// prepare makes the server's folder with its guard, the port and the settings.
func (s *Server) prepare() error {
	dir, err := os.MkdirTemp(s.options.Folder, "warren-postgres-")
	if err != nil {
		return err
	}
	// Links would hide which processes work in the folder.
	if s.dir, err = filepath.EvalSymlinks(dir); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	if s.watchdog, err = private.StartWatchdog(private.Watch{Folder: s.dir, Data: s.data(), Then: removeSegment}); err != nil {
		return err
	}
	s.daemon = private.NewDaemon(s.data(), filepath.Join(s.dir, "postgres.log"))
	if s.port, err = private.ReservePort(); err != nil {
		return err
	}
	s.password = fmt.Sprintf("%016x", rand.Uint64())
	for name, content := range map[string]string{"postgresql.conf": s.settings(), "password": s.password} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
		if err := s.programs.account.Give(filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	return s.programs.account.Give(s.dir)
}

// settings is the text of postgresql.conf.
func (s *Server) settings() string {
	config := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"fsync":                   strconv.FormatBool(s.options.Durable),
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"log_line_prefix":         "%m [%p] %a ",
		// In a file of the folder, so that nothing of a killed server stays in /dev/shm.
		"dynamic_shared_memory_type": "mmap",
		// A standby of a Pair comes from a copy and what was written since.
		"wal_keep_size": "256MB",
		"max_wal_size":  "512MB",
		"jit":           "off",
	}
	maps.Copy(config, s.options.Config)
	config["port"] = s.port.String()
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(config)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(config[name], "'", "''"))
	}
	return text.String()
}

// initialize makes an empty cluster.
func (s *Server) initialize(ctx context.Context) error {
	_, err := run(ctx, s.programs.command(s.dir, "initdb", "--pgdata", s.data(), "--no-sync", "--no-instructions",
		"--username", user, "--pwfile", filepath.Join(s.dir, "password"), "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C"))
	return err
}

// boot starts the server on the data that it has and returns when it accepts
// connections. If that fails, it is not running.
func (s *Server) boot(ctx context.Context) error {
	began := time.Now()
	command := func() *exec.Cmd {
		return s.programs.command(s.dir, "postgres", "-D", s.data(), "-c", "config_file="+filepath.Join(s.dir, "postgresql.conf"))
	}
	if err := s.daemon.Start(ctx, command, s.ready); err != nil {
		return err
	}
	s.logf("postgres: %s (process %d) accepts connections on %s after %v",
		s.dir, s.PID(), s.Addr(), time.Since(began).Round(time.Millisecond))
	return nil
}

// ready reports what the server itself writes for pg_ctl: the last line of its pid file
// is its state.
func (s *Server) ready(pid int) bool {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	lines := strings.Split(string(text), "\n")
	return err == nil && len(lines) > 7 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

// Stop ends the server as an administrator would (pg_ctl stop -m fast): transactions are
// rolled back and the data is written. All stays for Restart. A frozen server is thawed
// first; one that is down stays so, without an error.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.daemon.Stop(ctx, syscall.SIGINT); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	s.logf("postgres: %s stopped", s.dir)
	return nil
}

// Kill ends all processes of the server with SIGKILL, whatever they are doing, and
// returns when they are gone. It does nothing if the server is down.
func (s *Server) Kill() {
	s.daemon.Kill()
	s.logf("postgres: %s killed", s.dir)
}

// Restart starts the server again on the same port and the same data, and returns when
// it accepts connections. One that still runs is stopped first. After an error it is
// down, unless it could not be stopped, and Restart may be called again.
func (s *Server) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		return err
	}
	if err := s.boot(ctx); err != nil {
		return fmt.Errorf("postgres: restart: %w", err)
	}
	return nil
}

// Freeze stops all processes of the server with SIGSTOP, so that its connections stay open
// and say nothing, like those of a machine that hangs. It fails if the server is down.
func (s *Server) Freeze() error {
	if err := s.daemon.Freeze(); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	return nil
}

// Thaw lets a frozen server go on. It fails if the server is down and does nothing if it
// is not frozen.
func (s *Server) Thaw() error {
	if err := s.daemon.Thaw(); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	return nil
}
