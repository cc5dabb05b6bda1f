package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
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
// concurrent use. Addr, PID and Log tell of it; Stop (pg_ctl stop -m fast), Kill, Restart,
// Freeze, Thaw and Close do what their names say, as those of private.Service. Stop and
// Restart take turns; Kill and Close interrupt them.
type Server struct {
	service

	options  Options
	programs *programs
	password string
}

// service has what servers of all kinds have.
type service = private.Service

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
		taken := s.PortWasTaken()
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

// Programs is the folder of the server's programs, such as psql.
func (s *Server) Programs() string { return s.programs.folder }

// Exec runs statements through psql in the database postgres, each in a transaction of
// its own unless they say otherwise, up to the first that fails. It returns their rows,
// one a line, with | between columns. A line `\c NAME` goes on in another database.
func (s *Server) Exec(ctx context.Context, statements string) (string, error) {
	cmd := s.programs.command(s.Dir, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", s.URL(""))
	cmd.Stdin = strings.NewReader(statements)
	out, err := run(ctx, cmd)
	if err != nil {
		return "", fmt.Errorf("postgres: %w", err)
	}
	return out, nil
}
