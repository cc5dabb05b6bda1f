package postgres

import (
	"context"
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
	err := s.Prepare(private.ServiceOptions{
		Kind: "postgres", Folder: s.options.Folder, Data: "data", Then: removeSegment,
		Leave: syscall.SIGINT, Patience: startTimeout, Boot: s.boot, Logf: s.options.Logf,
	})
	if err != nil {
		return err
	}
	s.password = fmt.Sprintf("%016x", rand.Uint64())
	for name, content := range map[string]string{"postgresql.conf": s.settings(), "password": s.password} {
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(content), 0o600); err != nil {
			return err
		}
		if err := s.programs.account.Give(filepath.Join(s.Dir, name)); err != nil {
			return err
		}
	}
	return s.programs.account.Give(s.Dir)
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
	config["port"] = s.Port.String()
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(config)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(config[name], "'", "''"))
	}
	return text.String()
}

// initialize makes an empty cluster.
func (s *Server) initialize(ctx context.Context) error {
	_, err := run(ctx, s.programs.command(s.Dir, "initdb", "--pgdata", s.Daemon.Data(), "--no-sync", "--no-instructions",
		"--username", user, "--pwfile", filepath.Join(s.Dir, "password"), "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C"))
	return err
}

// boot starts the server on the data that it has and returns when it accepts
// connections. If that fails, it is not running.
func (s *Server) boot(ctx context.Context) error {
	began := time.Now()
	command := func() *exec.Cmd {
		return s.programs.command(s.Dir, "postgres", "-D", s.Daemon.Data(), "-c", "config_file="+filepath.Join(s.Dir, "postgresql.conf"))
	}
	if err := s.Daemon.Start(ctx, command, s.ready); err != nil {
		return err
	}
	s.Logf("%s (process %d) accepts connections on %s after %v",
		s.Dir, s.PID(), s.Addr(), time.Since(began).Round(time.Millisecond))
	return nil
}

// ready reports what the server itself writes for pg_ctl: the last line of its pid file
// is its state.
func (s *Server) ready(pid int) bool {
	text, err := os.ReadFile(filepath.Join(s.Daemon.Data(), "postmaster.pid"))
	lines := strings.Split(string(text), "\n")
	return err == nil && len(lines) > 7 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}
