package docs

import (
	"context"
	"errors"
	"fmt"
	"go/format"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/rabbit"
)

// The README's console blocks are played from top to bottom with its programs.
func TestReadmeProgramsPrintWhatTheReadmeShows(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	s := &stage{t: t, url: url, programs: map[string]string{}}
	for _, b := range blocks(t, "README.md", "go") {
		if strings.Contains(b.text, "package main\n") {
			if b.name() == "" {
				t.Fatalf("%s: the program's first line does not name its file", b.where())
			}
			s.programs["go run ../"+b.name()] = buildText(t, b.name(), b.text)
		}
	}
	for _, b := range blocks(t, "README.md", "python") {
		s.programs["python3 ../"+b.name()] = writeFile(t, b.name(), b.text)
	}
	if len(s.programs) != 3 {
		t.Fatalf("README.md has these programs: %v", s.programs)
	}
	played := 0
	for _, b := range blocks(t, "README.md", "console") {
		played += s.play(b)
	}
	if played != 4 {
		t.Errorf("%d commands were played; want 4", played)
	}
}

// Tests that documents show pass.
func TestTestsOfDocumentsPass(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"README.md", "docs/chaos.md"} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			played := 0
			for _, b := range blocks(t, file, "go") {
				if !strings.HasSuffix(b.name(), "_test.go") {
					continue
				}
				played++
				goTest := exec.CommandContext(t.Context(), "go", "test", "-race", "-v", writeFile(t, b.name(), b.text))
				if out, err := goTest.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
					t.Errorf("%s: %v\n%s", b.where(), err, out)
				}
			}
			if played != 1 {
				t.Errorf("%s has %d tests; want 1", file, played)
			}
		})
	}
}

// stage is where commands of console blocks are played.
type stage struct {
	t        *testing.T
	url      string
	programs map[string]string // by the command that runs them
	server   *daemon
}

const serverCommand = "go run ../server.go"

// play runs the block's commands and compares what they print.
func (s *stage) play(b block) (commands int) {
	s.t.Helper()
	scenes := strings.Split("\n"+b.text, "\n$ ")
	for _, scene := range scenes[1:] {
		line, want, _ := strings.Cut(scene, "\n")
		command, comment, _ := strings.Cut(line, "#")
		command = strings.TrimSpace(command)
		program, ok := s.programs[command]
		if !ok {
			s.t.Fatalf("%s: the README has no program for %q", b.where(), command)
		}
		s.prepare(b, comment)
		args := []string{program}
		if strings.HasPrefix(command, "python3") {
			args = []string{pythonWithPika(s.t), program}
		}
		got, complaint, code := run(s.t, s.url, args[0], args[1:]...)
		if strings.TrimSpace(got) != strings.TrimSpace(want) || code != 0 {
			s.t.Errorf("%s: %s ended with %d and printed\n%s\nnot\n%s\n%s", b.where(), line, code, got, want, complaint)
		}
		commands++
	}
	return commands
}

// prepare does what a command's comment says of the server.
func (s *stage) prepare(b block, comment string) {
	s.t.Helper()
	switch {
	case strings.Contains(comment, "before any server"):
		if s.server != nil {
			s.t.Fatalf("%s: a server has run", b.where())
		}
	case strings.Contains(comment, "while `"+serverCommand+"` runs"):
		s.server = startDaemon(s.t, s.url, s.programs[serverCommand])
		c := newClient(s.t, client.Config{Broker: brokerAt(s.url)})
		waitFor(s.t, "the server serves", func() bool {
			n, err := c.Ping(withPatience(s.t), "users.address")
			return err == nil && n == 1
		})
	case strings.Contains(comment, "after Ctrl-C"):
		s.server.interrupt()
	default:
		s.t.Fatalf("%s: what does %q mean?", b.where(), comment)
	}
}

// pythonWithPika finds an interpreter that has pika: Debian's pika belongs to
// Debian's Python, and another one may come first in PATH.
func pythonWithPika(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import pika").Run() == nil {
			return python
		}
	}
	t.Fatal("no python3 has pika; to get it, run scripts/deps.sh in the repository's root")
	return ""
}

// preamble declares what the fragments of the documents take for granted.
const preamble = `package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/reliability/policyfile"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/boltstore"
)

var (
	_ = fmt.Println
	_ = binary.BigEndian
	_ *bbolt.Tx
	_ boltstore.Options
	_ time.Duration
	_ *server.Server
	_ reliability.Rules
	_ policyfile.File
	_ net.Listener
	_ http.Handler
	_ gateway.Config

	ctx     context.Context
	c       *client.Client
	body    []byte
	orderID string
	urls    []string
	logger  *slog.Logger

	sessions map[string]string
)

func retryLater(time.Duration) error { return nil }

func main() {}
`

var declared = regexp.MustCompile(`(?m)^(\w+(?:, \w+)*) :=`)

func TestFragmentsCompile(t *testing.T) {
	t.Parallel()
	program, fragments := preamble, 0
	for _, file := range documents(t) {
		for _, b := range blocks(t, file, "go") {
			if formatted, err := format.Source([]byte(b.text)); err != nil || string(formatted) != b.text {
				t.Errorf("%s is not as gofmt has it (%v):\n%s", b.where(), err, formatted)
			}
			if b.name() != "" {
				continue // a whole program, or test
			}
			fragments++
			program += fmt.Sprintf("\nfunc fragment%d() error {\n//line %s:%d\n%s", fragments, b.file, b.line, b.text)
			for _, names := range declared.FindAllStringSubmatch(b.text, -1) {
				for name := range strings.SplitSeq(names[1], ", ") {
					program += "_ = " + name + "\n"
				}
			}
			program += "return nil\n}\n"
		}
	}
	if fragments == 0 {
		t.Fatal("the documents have no fragment of Go")
	}
	buildText(t, "fragments.go", program)
}

// The table of permissions is what its users can live with, and no more.
func TestPermissionsOfTheReadmeSuffice(t *testing.T) {
	t.Parallel()
	permissions := map[string][]string{}
	for line := range strings.Lines(read(t, "README.md")) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(cells) == 4 && (cells[0] == "client" || cells[0] == "server") {
			for _, cell := range cells[1:] {
				permissions[cells[0]] = append(permissions[cells[0]], strings.Trim(cell, "`"))
			}
		}
	}
	url, node, ctx := rabbit.VHost(t), rabbit.Shared(t), withPatience(t)
	urls := map[string]string{}
	for _, side := range []string{"client", "server"} {
		p := permissions[side]
		if len(p) != 3 {
			t.Fatalf("README.md has no permissions of a %s", side)
		}
		user := side + "-of-" + vhostOf(t, url) // users are the node's, not the virtual host's
		if err := node.AddUser(ctx, user, "secret", vhostOf(t, url), p[0], p[1], p[2]); err != nil {
			t.Fatal(err)
		}
		urls[side] = node.URLAs(user, "secret", vhostOf(t, url))
	}
	serveEcho(t, urls["server"], "orders.echo")
	c := newClient(t, client.Config{Broker: brokerAt(urls["client"])})
	if reply, err := c.Call(ctx, "orders.echo", []byte("x")); err != nil || string(reply.Body) != "x" {
		t.Errorf("call: %v, %v", reply, err)
	}
	if n, err := c.Ping(ctx, "orders.echo"); err != nil || n != 1 {
		t.Errorf("ping: %d, %v", n, err)
	}
	if err := c.Notify(ctx, "orders.echo", nil); err != nil {
		t.Errorf("notify: %v", err)
	}
	// Without them the error says so at once.
	other, err := client.New(client.Config{Broker: brokerAt(urls["server"]), Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Ready(ctx); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a client with a server's permissions: %v", err)
	}
}
