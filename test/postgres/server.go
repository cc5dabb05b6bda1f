package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/warren-rpc/warren/test/internal/private"
	"github.com/warren-rpc/warren/test/patience"
)

// Options configures a server. The zero value is a plain server of the machine's
// newest PostgreSQL, which is quick because it never waits for a disk.
type Options struct {
	// Config holds settings of postgresql.conf, which win over the package's own: for
	// example {"max_connections": "20"}. The port cannot be set.
	Config map[string]string

	// Durable makes the server sync to disk (fsync). Without, a confirmed commit
	// survives the death of the server's processes, and not that of the machine.
	Durable bool

	// Folder is the folder in which the server's own folder is made, as on a disk that
	// the test fills. The account that runs the server must be able to enter it.
	// Default: that for temporary files.
	Folder string

	// Logf receives what the server's keeper does: starts, kills, ends. It is called from
	// the goroutine that calls the method. Default: nothing is reported.
	Logf func(format string, args ...any)
}

// user is the superuser of every server.
const user = "postgres"

// startTimeout bounds a start whose context has no deadline. An idle machine needs one
// or two seconds.
var startTimeout = patience.Times(2 * time.Minute)

// portAttempts is how often Start tries, each time on another port, if another program
// took the server's port before the server did.
const portAttempts = 4

// Server is a PostgreSQL server that belongs to this process. All methods are safe for
// concurrent use. Stop and Restart take turns; Kill and Close interrupt them.
type Server struct {
	options  Options
	programs *programs
	dir      string
	password string
	port     *private.Port
	watchdog *private.Watchdog
	daemon   *private.Daemon

	closing sync.Once
	closed  error
}

// Start makes a server with an empty cluster and returns when it accepts connections.
// The context bounds the start only; without a deadline the bound is two minutes. After
// an error nothing is left behind.
func Start(ctx context.Context, options Options) (*Server, error) {
	return start(ctx, options, nil)
}

// start makes a server with an empty cluster, or a standby of the primary.
func start(ctx context.Context, options Options, primary *Server) (*Server, error) {
	if !private.Supported {
		return nil, fmt.Errorf("postgres: private servers need Linux: %w", errors.ErrUnsupported)
	}
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		s := &Server{options: options, programs: programs}
		err := s.prepare()
		if err == nil && primary == nil {
			err = s.initialize(ctx)
		} else if err == nil {
			err = s.copyFrom(ctx, primary)
		}
		if err == nil {
			err = s.boot(ctx)
		}
		if err == nil {
			return s, nil
		}
		taken := s.daemon != nil && strings.Contains(s.daemon.Log(), "Address already in use")
		err = errors.Join(fmt.Errorf("postgres: start: %w", err), s.Close())
		if attempt == portAttempts || !taken {
			return nil, err
		}
	}
}

// URL is the address of a database with the superuser's credentials; "" is the
// database postgres. It stays the same for the life of the server, and asks nothing of
// it: the database need not exist.
func (s *Server) URL(database string) string { return s.URLAt(s.Addr(), database) }

// URLAt is the same through another address, as of a proxy.
func (s *Server) URLAt(addr, database string) string {
	if database == "" {
		database = "postgres"
	}
	return "postgres://" + url.UserPassword(user, s.password).String() + "@" + addr + "/" + url.PathEscape(database) + "?sslmode=disable"
}

// Addr is the loopback host and port that the server accepts connections on.
func (s *Server) Addr() string { return s.port.Addr() }

// Programs is the folder of the server's programs, such as psql.
func (s *Server) Programs() string { return s.programs.folder }

// PID is the process ID of the server's main process, or 0 while it is down.
func (s *Server) PID() int { return s.daemon.PID() }

// Log returns the server's log since it was first started. It is empty once the server
// is closed.
func (s *Server) Log() string { return s.daemon.Log() }

// Exec runs statements through psql in the database postgres, each in a transaction of
// its own unless they say otherwise, up to the first that fails. It returns their rows,
// one a line, with | between columns. A line `\c NAME` goes on in another database.
func (s *Server) Exec(ctx context.Context, statements string) (string, error) {
	cmd := s.programs.command(s.dir, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", s.URL(""))
	cmd.Stdin = strings.NewReader(statements)
	out, err := run(ctx, cmd)
	if err != nil {
		return "", fmt.Errorf("postgres: %w", err)
	}
	return out, nil
}

// Close ends the server and everything that belongs to it without grace, removes its
// folder, and returns when both are gone. It is legal in every state and more than once;
// later calls return what the first one did.
func (s *Server) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Server) close() error {
	var err error
	if s.watchdog != nil {
		err = s.watchdog.Finish()
	}
	if s.daemon != nil {
		s.daemon.Reap()
	}
	s.port.Release()
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	if err != nil {
		return fmt.Errorf("postgres: close: %w", err)
	}
	s.logf("postgres: %s closed", s.dir)
	return nil
}

func (s *Server) logf(format string, args ...any) {
	if s.options.Logf != nil {
		s.options.Logf(format, args...)
	}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }
