package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
)

// processDir is the environment variable that makes a test binary a process of another
// one's test: it is the store to open. The process does what it is told, one command
// after the other.
const processDir = "WARREN_STORETEST_PROCESS"

// command is a line that a process reads from its standard input: a method of the
// store, or "work".
type command struct {
	Op               string
	Claim            store.Claim
	Key              store.Key
	Token            uint64
	Result           store.Result
	Lease, Retention time.Duration
	Work             work
}

// answer is a line that it writes in return, to answersFile.
type answer struct {
	Record store.Record
	Won    bool
	Stale  bool // the error is ErrStale
	Err    string
}

// answersFile is the file descriptor of a process's answers.
const answersFile = 3

// obey opens the store and does what it is told until it is killed, or its parent has
// ended.
func obey(t *testing.T, open Open, dir string) {
	t.Helper()
	s := open(t, dir, time.Now, Options{})
	answers := json.NewEncoder(os.NewFile(answersFile, "answers"))
	commands := json.NewDecoder(os.Stdin)
	for {
		var c command
		if commands.Decode(&c) != nil {
			os.Exit(3)
		}
		var a answer
		err := c.do(t, s, &a)
		if err != nil {
			a.Stale, a.Err = errors.Is(err, store.ErrStale), err.Error()
		}
		if err := answers.Encode(a); err != nil {
			os.Exit(3)
		}
	}
}

func (c *command) do(t *testing.T, s store.Store, a *answer) (err error) {
	t.Helper()
	ctx := t.Context()
	switch c.Op {
	case "open":
	case "close":
		err = s.Close()
	case "claim":
		a.Record, a.Won, err = s.Claim(ctx, c.Claim)
	case "renew":
		err = s.Renew(ctx, c.Key, c.Token, c.Lease)
	case "complete":
		err = s.Complete(ctx, c.Key, c.Token, c.Result, c.Retention)
	case "abandon":
		err = s.Abandon(ctx, c.Key, c.Token, store.Unended)
	case "work":
		err = c.Work.run(ctx, s)
	default:
		err = fmt.Errorf("storetest: there is no command %q", c.Op)
	}
	return err
}

// process is a process with a store of its own on the same data, seen from the test.
type process struct {
	*env
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers *os.File
	read    *json.Decoder
	ended   chan struct{}
	output  *bytes.Buffer // to be read once it has ended
}

// binary returns the test binary, to be started again as a process of this suite that
// has the variable set.
func (e *env) binary(variable, value string) *exec.Cmd {
	e.Helper()
	top := e.tb.Name()
	top = top[:strings.LastIndexByte(top, '/')]
	var pattern []string
	for part := range strings.SplitSeq(top, "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	// The test's own context would kill the process by itself, before the test has looked.
	cmd := exec.CommandContext(context.WithoutCancel(e.ctx), os.Args[0], "-test.run="+strings.Join(pattern, "/")) //nolint:gosec // this binary
	cmd.Env = append(os.Environ(), variable+"="+value)
	return cmd
}

// process starts one, which has the store open when this returns. It is killed when
// the test ends.
func (e *env) process() *process {
	e.Helper()
	p := &process{env: e, cmd: e.binary(processDir, e.dir), ended: make(chan struct{}), output: new(bytes.Buffer)}
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	answers, theirs, err := os.Pipe()
	if err != nil {
		e.Fatalf("the answers of a process: %v", err)
	}
	p.answers, p.read, p.cmd.ExtraFiles = answers, json.NewDecoder(answers), []*os.File{theirs}
	if p.stdin, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	_ = theirs.Close()
	if err != nil {
		e.Fatalf("a process: %v", err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // it is killed
	}()
	e.tb.Cleanup(func() {
		p.kill()
		_ = p.stdin.Close()
		_ = p.answers.Close()
	})
	p.ask(command{Op: "open"})
	return p
}

// kill ends the process without warning.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// send gives the process a command. It need not be able to take it now.
func (p *process) send(c command) {
	p.Helper()
	if err := json.NewEncoder(p.stdin).Encode(c); err != nil {
		p.Fatalf("a command for a process: %v", err)
	}
}

// receive waits for the answer to the oldest command that has none.
func (p *process) receive() (a answer) {
	p.Helper()
	err := p.answers.SetReadDeadline(time.Now().Add(p.f.Patience))
	if err == nil {
		err = p.read.Decode(&a)
	}
	if err != nil {
		p.kill()
		p.Fatalf("a process does not answer: %v\n%s", err, p.output)
	}
	return a
}

func (p *process) ask(c command) answer {
	p.Helper()
	p.send(c)
	a := p.receive()
	if a.Err != "" && !a.Stale {
		p.Fatalf("%s by a process: %s", c.Op, a.Err)
	}
	return a
}

// claims has the process claim, and win.
func (p *process) claims(c store.Claim) store.Record {
	p.Helper()
	a := p.ask(command{Op: "claim", Claim: c})
	if !a.Won {
		p.Fatalf("a process's claim does not win: %v", brief(a.Record))
	}
	return a.Record
}
