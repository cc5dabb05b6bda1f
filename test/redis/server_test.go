package redis

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/patience"
)

func TestTwoServersRunAtOnceAndCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	servers := []*Server{New(t, Options{}), New(t, Options{Durable: true, Config: map[string]string{"maxmemory": "8mb"}})}
	if servers[0].Addr() == servers[1].Addr() || servers[0].PID() == servers[1].PID() {
		t.Fatal("not two servers")
	}
	for i, want := range []string{"appendfsync\neverysec\nmaxmemory\n0", "appendfsync\nalways\nmaxmemory\n8388608"} {
		got := do(t, servers[i], "CONFIG", "GET", "appendfsync") + "\n" + do(t, servers[i], "CONFIG", "GET", "maxmemory")
		if got != want {
			t.Errorf("configured %q, want %q", got, want)
		}
		if got := processesIn(t, servers[i].Dir); len(got) < 1 {
			t.Error("the check below is blind: it sees no process of a running server")
		}
	}
	// A frozen server is closed like any other.
	if err := servers[0].Freeze(); err != nil {
		t.Error(err)
	}
	for _, s := range servers {
		for range 2 { // closing twice is legal
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if got := processesIn(t, s.Dir); len(got) > 0 {
			t.Errorf("left after Close: %q", got)
		}
		if _, err := os.Stat(s.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("folder after Close: %v", err)
		}
		if err := s.Restart(t.Context()); err == nil {
			t.Error("a closed server restarted")
		}
		s.Kill() // legal, without effect
	}
}

func TestChangesSurviveStopAndKill(t *testing.T) {
	t.Parallel()
	s := New(t, Options{})
	for i, end := range []func(){
		func() {
			if err := s.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		s.Kill,
	} {
		if got, want := do(t, s, "INCR", "n"), []string{"1", "2"}[i]; got != want {
			t.Errorf("the counter is %s, want %s", got, want)
		}
		end()
		end() // legal, without effect
		if _, err := s.Do(t.Context(), "PING"); err == nil || s.PID() != 0 {
			t.Errorf("process %d answers %v although the server has ended", s.PID(), err)
		}
		if err := s.Freeze(); err == nil {
			t.Error("froze a server that has ended")
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := do(t, s, "GET", "n"); got != "2" {
		t.Errorf("the counter is %s, want 2", got)
	}
}

func TestFrozenServerSaysNothing(t *testing.T) {
	t.Parallel()
	s := New(t, Options{})
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Do(ctx, "PING"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen server answered: %v", err)
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	do(t, s, "PING")
	if err := errors.Join(s.Freeze(), s.Restart(t.Context())); err != nil {
		t.Errorf("restart a frozen server: %v", err)
	}
}

func TestAnErrorAnsweredIsAnError(t *testing.T) {
	t.Parallel()
	if out, err := Shared(t).Do(t.Context(), "NO-SUCH-COMMAND"); err == nil || !strings.Contains(err.Error(), "NO-SUCH-COMMAND") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestPromotedReplicaHasWhatItWasSent(t *testing.T) {
	t.Parallel()
	primary := New(t, Options{})
	do(t, primary, "SET", "before", "1")
	replica := New(t, Options{ReplicaOf: primary})
	do(t, primary, "SET", "after", "1")
	patience.Eventually(t, "the replica has it", func() bool { return do(t, replica, "GET", "after") == "1" })
	if _, err := replica.Do(t.Context(), "SET", "x", "1"); err == nil {
		t.Error("a replica took a write")
	}
	primary.Kill()
	if err := replica.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := replica.Restart(t.Context()); err != nil { // it stays a primary
		t.Fatal(err)
	}
	if got := do(t, replica, "MGET", "before", "after"); got != "1\n1" {
		t.Errorf("the promoted one has %q", got)
	}
	do(t, replica, "SET", "x", "1")
	if err := primary.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := primary.Follow(t.Context(), replica); err != nil {
		t.Fatal(err)
	}
	if got := do(t, primary, "GET", "x"); got != "1" {
		t.Errorf("the one that follows has %q", got)
	}
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx    context.Context
		config map[string]string
		want   string
	}{
		"canceled":          {canceled, nil, "context canceled"},
		"bad configuration": {t.Context(), map[string]string{"no-such-setting": "1"}, "no-such-setting"},
	} {
		temp := folder(t)
		_, err := Start(test.ctx, Options{Folder: temp, Config: test.config})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v", name, err)
		}
		if got := processesIn(t, temp); len(got) > 0 {
			t.Errorf("%s: left processes %q", name, got)
		}
		if left, _ := os.ReadDir(temp); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

func TestNotInstalledNamesTheCommand(t *testing.T) { // not parallel: it hides the programs
	before := programs
	programs = [][2]string{{filepath.Join(t.TempDir(), "none"), "redis-cli"}}
	defer func() { programs = before }()
	_, err := Start(t.Context(), Options{})
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "scripts/deps.sh") {
		t.Fatalf("error %v, want %v", err, ErrNotInstalled)
	}
}

func TestLostPortIsSeenAsSuch(t *testing.T) {
	t.Parallel()
	s := New(t, Options{})
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	thief, err := lc.Listen(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	// Start looks for this text.
	if err := s.Restart(t.Context()); err == nil || !strings.Contains(s.Log(), "Address already in use") {
		t.Fatalf("error %v, log:\n%s", err, s.Log())
	}
}

func TestServerDiesWithItsProcess(t *testing.T) {
	t.Parallel()
	temp := folder(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1", "TMPDIR="+temp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if lines := bufio.NewScanner(out); !lines.Scan() || !strings.HasPrefix(lines.Text(), "ready ") {
		t.Errorf("child says %q", lines.Text())
	}
	if got := processesIn(t, temp); len(got) < 1 {
		t.Error("the check below is blind: it sees no process")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	patience.Eventually(t, "gone", func() bool {
		left, err := os.ReadDir(temp)
		return err == nil && len(left) == 0 && len(processesIn(t, temp)) == 0
	})
}

// TestServerThatIsBusyIsStopped stops replicas that write their first append-only file: they
// refuse to end meanwhile.
func TestServerThatIsBusyIsStopped(t *testing.T) {
	t.Parallel()
	primary := New(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), patience.Soon)
	defer cancel()
	for range 5 {
		if err := New(t, Options{ReplicaOf: primary}).Stop(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
