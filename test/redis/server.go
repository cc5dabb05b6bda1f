package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/warren-rpc/warren/test/internal/private"
	"github.com/warren-rpc/warren/test/patience"
)

// ErrNotInstalled is returned (wrapped) by Start if the machine has neither Redis nor
// Valkey. Its text names the command that gets one.
var ErrNotInstalled = errors.New("redis: Redis is not installed: run `make deps`, or as root " +
	"`sh scripts/deps.sh --install redis-server`")

// programs are a server and its command-line client, by preference.
var programs = [][2]string{{"redis-server", "redis-cli"}, {"valkey-server", "valkey-cli"}}

// Options configures a server. The zero value is a server that writes every change to
// its append-only file and does not wait for the disk.
type Options struct {
	// Config holds settings of redis.conf, which win over the package's own: for example
	// {"maxmemory": "4mb"}. The port cannot be set.
	Config map[string]string

	// Durable makes the server sync every change to disk before it is answered
	// (appendfsync always). Without, a change survives the death of the process, and
	// not that of the machine.
	Durable bool

	// ReplicaOf makes the server a replica. It must outlive neither.
	ReplicaOf *Server

	// Folder is the folder in which the server's own folder is made. Default: that for
	// temporary files.
	Folder string

	// Logf receives what the server's keeper does: starts, kills, ends. It is called from
	// the goroutine that calls the method. Default: nothing is reported.
	Logf func(format string, args ...any)
}

// startTimeout bounds a start whose context has no deadline.
var startTimeout = patience.Soon

// portAttempts is how often Start tries, each time on another port, if another program
// took the server's port before the server did.
const portAttempts = 4

// Server is a Redis server that belongs to this process. All methods are safe for
// concurrent use. Addr, PID and Log tell of it; Stop (as SHUTDOWN), Kill, Restart, Freeze,
// Thaw and Close do what their names say, as those of private.Service. A replica that is
// started again is one again, unless it was promoted. Stop and Restart take turns; Kill and
// Close interrupt them.
type Server struct {
	service

	options  Options
	server   string
	client   string
	password string
}

// service has what servers of all kinds have.
type service = private.Service

// Start starts an empty server, or a replica, and returns when it answers; a replica,
// when it has what its primary had. The context bounds the start only; without a deadline
// the bound is a minute. After an error nothing is left behind.
func Start(ctx context.Context, options Options) (*Server, error) {
	if !private.Supported {
		return nil, fmt.Errorf("redis: private servers need Linux: %w", errors.ErrUnsupported)
	}
	server, client, err := findPrograms()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		s := &Server{options: options, server: server, client: client}
		err := s.prepare()
		if err == nil {
			err = s.boot(ctx)
		}
		if err == nil && options.ReplicaOf != nil {
			err = s.waitForPrimary(ctx)
		}
		if err == nil {
			return s, nil
		}
		taken := s.PortWasTaken()
		err = errors.Join(fmt.Errorf("redis: start: %w", err), s.Close())
		if attempt == portAttempts || !taken {
			return nil, err
		}
	}
}

func findPrograms() (server, client string, err error) {
	for _, pair := range programs {
		server, err1 := exec.LookPath(pair[0])
		client, err2 := exec.LookPath(pair[1])
		if err1 == nil && err2 == nil {
			return server, client, nil
		}
	}
	return "", "", ErrNotInstalled
}

// prepare makes the server's folder with its guard, the port and the settings.
func (s *Server) prepare() error {
	err := s.Prepare(private.ServiceOptions{
		Kind: "redis", Folder: s.options.Folder, Data: "data",
		Leave: syscall.SIGTERM, Patience: startTimeout, Boot: s.boot, Logf: s.options.Logf,
	})
	if err != nil {
		return err
	}
	s.password = fmt.Sprintf("%016x", rand.Uint64())
	if s.options.ReplicaOf != nil {
		s.password = s.options.ReplicaOf.password
	}
	if err := os.Mkdir(s.Daemon.Data(), 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Dir, "redis.conf"), []byte(s.settings()), 0o600)
}

// settings is the text of redis.conf.
func (s *Server) settings() string {
	config := map[string]string{
		"bind":        "127.0.0.1",
		"requirepass": s.password,
		"masterauth":  s.password, // of the primary, should this one become a replica
		"save":        "",
		"appendonly":  "yes",
		"appendfsync": "everysec",
		// A replica gets its copy through the socket, at once.
		"repl-diskless-sync":       "yes",
		"repl-diskless-sync-delay": "0",
	}
	if s.options.Durable {
		config["appendfsync"] = "always"
	}
	if primary := s.options.ReplicaOf; primary != nil {
		host, port, _ := net.SplitHostPort(primary.Addr())
		config["replicaof"] = host + " " + port
	}
	maps.Copy(config, s.options.Config)
	config["port"] = s.Port.String()
	config["dir"] = s.Daemon.Data()
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(config)) {
		value := config[name]
		if value == "" {
			value = `""`
		}
		fmt.Fprintf(&text, "%s %s\n", name, value)
	}
	return text.String()
}

// URL is the address with the server's password. It stays the same for the life of the
// server.
func (s *Server) URL() string { return s.URLAt(s.Addr()) }

// URLAt is the same through another address, as of a proxy.
func (s *Server) URLAt(addr string) string {
	return "redis://" + url.UserPassword("default", s.password).String() + "@" + addr + "/0"
}

// Do runs one command through redis-cli and returns its answer as redis-cli prints it to a
// program: one element a line, and nothing else. An error that the server answers is an
// error.
func (s *Server) Do(ctx context.Context, command ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.client, append([]string{"-e", "-h", "127.0.0.1", "-p", s.Port.String()}, command...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=" + s.Dir, "REDISCLI_AUTH=" + s.password}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("redis: %w", context.Cause(ctx))
		}
		return "", fmt.Errorf("redis: redis-cli: %w: %s", err, strings.TrimSpace(stdout.String()+stderr.String()))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

// boot starts the server on the data that it has and returns when it answers. If that
// fails, it is not running.
func (s *Server) boot(ctx context.Context) error {
	began := time.Now()
	command := func() *exec.Cmd {
		cmd := exec.Command(s.server, filepath.Join(s.Dir, "redis.conf"))
		cmd.Dir = s.Daemon.Data()
		cmd.Env = []string{private.Marker + "=" + s.Dir, "PATH=/usr/bin:/bin", "LC_ALL=C", "TMPDIR=" + s.Dir, "HOME=" + s.Dir}
		return cmd
	}
	ready := func(int) bool {
		// While it reads its data it says something else; another that has its port may say nothing.
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		answer, err := s.Do(ctx, "PING")
		return err == nil && answer == "PONG"
	}
	if err := s.Daemon.Start(ctx, command, ready); err != nil {
		return err
	}
	s.Logf("%s (process %d) accepts connections on %s after %v",
		s.Dir, s.PID(), s.Addr(), time.Since(began).Round(time.Millisecond))
	return nil
}
