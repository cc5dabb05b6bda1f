package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// The environment of a server subprocess: this test binary, started again.
const (
	envServeURL  = "WARREN_E2E_SERVE_URL"
	envServeName = "WARREN_E2E_SERVE_NAME"
	envKillAt    = "WARREN_E2E_KILL_AT"
	envCallURL   = "WARREN_E2E_CALL_URL"
)

// runServer is what the subprocess does: it serves echo under the given name,
// writes a line for each execution, and kills itself at the crash point.
func runServer(url, name, killAt string) error {
	if killAt != "" {
		killYourselfAt(killAt)
	}
	s, err := server.New(server.Config{
		Broker: warren.Broker{URLs: []string{url}},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return err
	}
	err = s.HandleRaw(server.Method{Name: name}, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
		fmt.Println("ran", req.CallID)
		if string(req.Body) == "hold" && killAt != "" {
			<-ctx.Done() // the parent kills this process now
		}
		return rig.Echo(ctx, req)
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		// The parent's end closes standard input.
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := s.Start(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return s.Stop(ctx)
}

// runCaller is what a client subprocess does: it makes one call and kills itself
// at the crash point.
func runCaller(url, name, killAt string) error {
	killYourselfAt(killAt)
	c, err := client.New(client.Config{Broker: warren.Broker{URLs: []string{url}}})
	if err != nil {
		return err
	}
	_, err = c.Call(context.Background(), name, nil, client.WithCallID("victim"))
	return errors.Join(errors.New("the call ended before its process"), err)
}

func killYourselfAt(killAt string) {
	crashpoint.Set(func(point crashpoint.Point, _, callID string) {
		if string(point) == killAt && callID == "victim" {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal is on its way
		}
	})
}

// process is a subprocess.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu    sync.Mutex
	lines []string
}

// startServer starts a server subprocess and waits until it consumes.
func startServer(t *testing.T, url, name string, killAt crashpoint.Point) *process {
	t.Helper()
	p := startProcess(t, envServeURL+"="+url, envServeName+"="+name, envKillAt+"="+string(killAt))
	patience.Eventually(t, "the server process consumes", func() bool { return p.count("ready") == 1 || p.ended() })
	return p
}

// startProcess starts this test binary again with that environment.
func startProcess(t *testing.T, env ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0]), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, lines.Text())
			p.mu.Unlock()
		}
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		select {
		case <-p.done:
		case <-time.After(patience.Soon):
			_ = p.cmd.Process.Kill()
			<-p.done
			t.Error("the process did not end by itself")
		}
	})
	return p
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// count tells how many lines begin with the words.
func (p *process) count(words string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		if strings.HasPrefix(line, words) {
			n++
		}
	}
	return n
}
