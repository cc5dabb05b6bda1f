package docs

import (
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// The console blocks of the README, and of the recipes after it, are played from top
// to bottom with their programs: on RabbitMQ, and on the broker that the README
// starts.
func TestProgramsPrintWhatDocumentsShow(t *testing.T) {
	t.Parallel()
	programs := map[string]string{}
	for _, file := range played {
		for _, b := range blocks(t, file, "go") {
			if strings.Contains(b.text, "package main\n") {
				if b.name() == "" {
					t.Fatalf("%s: the program's first line does not name its file", b.where())
				}
				programs["go run ../"+b.name()] = buildText(t, b.name(), b.text)
			}
		}
		for _, b := range blocks(t, file, "python") {
			programs["python3 ../"+b.name()] = writeFile(t, b.name(), b.text)
		}
	}
	if len(programs) != 3 {
		t.Fatalf("%q have these programs: %v", played, programs)
	}
	for name, url := range map[string]func(t *testing.T) string{
		"RabbitMQ": func(t *testing.T) string { return rabbit.VHost(t) },
		"warren broker": func(t *testing.T) string {
			address := freeAddress(t)
			startDaemon(t, "", tool(t), "broker", "--listen", address)
			return "amqp://guest:guest@" + address + "/"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stage{t: t, url: url(t), programs: programs}
			newClient(t, client.Config{Broker: brokerAt(s.url)}) // the broker is there
			n := 0
			for _, file := range played {
				for _, b := range blocks(t, file, "console") {
					n += s.play(b)
				}
			}
			if n != 4 {
				t.Errorf("%d commands were played; want 4", n)
			}
		})
	}
}

// played are the documents whose programs belong together.
var played = []string{"README.md", "docs/recipes.md"}

// Tests that documents show pass.
func TestTestsOfDocumentsPass(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]int{"docs/recipes.md": 3, "docs/chaos.md": 1} {
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
			if played != want {
				t.Errorf("%s has %d tests; want %d", file, played, want)
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
		patience.Eventually(s.t, "the server serves", func() bool {
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
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"expvar"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
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
	_ *tls.Config
	_ *x509.CertPool
	_ = errors.New
	_ expvar.Var
	_ *os.File

	ctx     context.Context
	c       *client.Client
	s       *server.Server
	body    []byte
	orderID string
	urls    []string
	logger  *slog.Logger

	sessions map[string]string
	secret   []byte
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

// goReplace is how a module takes the clone for a release.
const goReplace = "go mod edit -replace github.com/warren-rpc/warren=../warren"

func TestModuleBuildsAgainstTheClone(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	clone, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.org/shop\n\ngo 1.26\n")
	write("go.sum", read(t, "go.sum")) // the modules of Warren's own tests need not be loaded
	for _, b := range blocks(t, "README.md", "go") {
		if b.name() == "server.go" {
			write(b.name(), b.text)
		}
	}
	replace := strings.Fields(strings.Replace(goReplace, "../warren", clone, 1))
	const version = "v0.0.0-00010101000000-000000000000" // what go mod tidy makes of a replaced module
	for _, args := range [][]string{
		replace[1:], {"mod", "edit", "-require", "github.com/warren-rpc/warren@" + version},
		append([]string{"build", "-mod=mod", "-o", filepath.Join(folder, "shop")}, raceFlags...),
	} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %q: %v\n%s", args, err, out)
		}
	}
}
