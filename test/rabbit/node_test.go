package rabbit

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/internal/private"
	"github.com/warren-rpc/warren/test/patience"
)

func TestTwoNodesRunAtOnceAndCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	type result struct {
		n   *Node
		err error
	}
	booted := make(chan result, 2)
	for range 2 {
		go func() {
			n, err := Start(context.Background(), Options{Logf: t.Logf})
			booted <- result{n, err}
		}()
	}
	var nodes []*Node
	for range 2 {
		r := <-booted
		if r.err != nil {
			t.Error(r.err)
			continue
		}
		defer r.n.Close()
		nodes = append(nodes, r.n)
	}
	if t.Failed() {
		return
	}
	if nodes[0].Addr() == nodes[1].Addr() || nodes[0].PID() == nodes[1].PID() {
		t.Fatalf("not two nodes: %s and %s", nodes[0].Addr(), nodes[1].Addr())
	}
	for _, n := range nodes {
		_, ch := dial(t, n.URL())
		declare(t, ch, "q", "classic")
		publish(t, ch, "q", "to each its own")
	}
	for _, n := range nodes {
		queues, err := n.Queues(t.Context(), "/")
		if err != nil || len(queues) != 1 || queues[0].Ready != 1 {
			t.Errorf("queues %+v, %v; want one with one message", queues, err)
		}
		if n.CPU() < 100*time.Millisecond {
			t.Errorf("CPU time %v after a boot", n.CPU())
		}
		if got := processesIn(t, n.dir); len(got) < 3 {
			t.Errorf("the check below is blind: it sees only %q of a running node", got)
		}
	}
	// A frozen node is closed like any other.
	if err := nodes[0].Freeze(); err != nil {
		t.Error(err)
	}
	for _, n := range nodes {
		total := n.CPU()
		for range 2 { // closing twice is legal
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
		if got := processesIn(t, n.dir); len(got) > 0 {
			t.Errorf("left after Close: %q", got)
		}
		if _, err := os.Stat(n.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("folder after Close: %v", err)
		}
		if n.PID() != 0 || n.CPU() < total {
			t.Errorf("closed node has process %d and CPU time %v, was %v", n.PID(), n.CPU(), total)
		}
		if err := n.Restart(t.Context()); err == nil {
			t.Error("a closed node restarted")
		}
		n.Kill() // legal, without effect
	}
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, start := range map[string]func() error{
		"canceled before": func() error {
			_, err := Start(canceled, Options{})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
			return err
		},
		"deadline while it boots": func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
			defer cancel()
			_, err := Start(ctx, Options{})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
			}
			return err
		},
		"bad configuration": func() error {
			_, err := Start(t.Context(), Options{Config: []string{"no.such.setting = 1"}})
			if err == nil || !strings.Contains(err.Error(), "no.such.setting") {
				t.Errorf("error %v, want the node's log in it", err)
			}
			return err
		},
		"no such server": func() error {
			_, err := Start(t.Context(), Options{Server: filepath.Join(temp, "none")})
			return err
		},
	} {
		if err := start(); err == nil {
			t.Errorf("%s: no error", name)
		}
		if got := processesIn(t, temp); len(got) > 0 {
			t.Errorf("%s: left processes %q", name, got)
		}
		if left, _ := os.ReadDir(temp); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

func TestNotInstalledNamesTheCommand(t *testing.T) {
	places := serverPlaces
	serverPlaces = []string{filepath.Join(t.TempDir(), "none")}
	defer func() { serverPlaces = places }()
	_, err := Start(t.Context(), Options{})
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "make deps") {
		t.Fatalf("error %v, want %v", err, ErrNotInstalled)
	}
}

func TestLostPortIsSeenAsSuch(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]func(*Node) *private.Port{
		"amqp": func(n *Node) *private.Port { return n.amqp },
		"dist": func(n *Node) *private.Port { return n.dist },
		"epmd": func(n *Node) *private.Port { return n.family.names },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(serverPlaces[0], Options{})
			defer n.Close()
			if err := n.prepare(); err != nil {
				t.Fatal(err)
			}
			thief, err := net.Listen("tcp", lost(n).Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer thief.Close()
			if err := n.boot(t.Context()); !errors.Is(err, errPortTaken) {
				t.Fatalf("error %v, want %v", err, errPortTaken)
			}
		})
	}
}

func TestKeptFolderOutlivesTheNodeAlone(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	n := newNode(serverPlaces[0], Options{Keep: true})
	ctx, cancel := context.WithCancel(t.Context()) // no need to boot
	started := make(chan error, 1)
	go func() { started <- n.start(ctx) }()
	patience.Eventually(t, "the node has its settings", func() bool {
		settings, _ := filepath.Glob(filepath.Join(temp, "*", "rabbitmq.conf"))
		return len(settings) > 0
	})
	cancel()
	if err := <-started; err == nil {
		t.Error("booted all the same")
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(n.dir, "rabbitmq.conf")); err != nil {
		t.Error(err)
	}
	if got := processesIn(t, n.dir); len(got) > 0 {
		t.Errorf("left after Close: %q", got)
	}
}

func TestNodeDiesWithItsProcess(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(t *testing.T, temp string, lines *bufio.Scanner){
		"once it runs": func(t *testing.T, temp string, lines *bufio.Scanner) {
			if !lines.Scan() || !strings.HasPrefix(lines.Text(), "ready ") {
				t.Fatalf("child says %q", lines.Text())
			}
		},
		"while it boots": func(t *testing.T, temp string, _ *bufio.Scanner) {
			patience.Eventually(t, "booting", func() bool { return len(processesIn(t, temp)) >= 2 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			temp := t.TempDir()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childEnv+"=1", "TMPDIR="+temp)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			kill(t, temp, bufio.NewScanner(out))
			if got := processesIn(t, temp); len(got) < 2 {
				t.Errorf("the check below is blind: it sees only %q", got)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			patience.Eventually(t, "gone", func() bool {
				left, err := os.ReadDir(temp)
				return err == nil && len(left) == 0 && len(processesIn(t, temp)) == 0
			})
		})
	}
}

func TestManagementPluginListensOnAPortOfItsOwn(t *testing.T) {
	t.Parallel()
	if url := Shared(t).ManagementURL(); url != "" {
		t.Errorf("a node without the plugin has it at %q", url)
	}
	n := New(t, Options{Plugins: []string{ManagementPlugin}})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.ManagementURL()+"api/whoami", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"guest"`) {
		t.Errorf("%v, %d: %s", err, resp.StatusCode, body)
	}
}
