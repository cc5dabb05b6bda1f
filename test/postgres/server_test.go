package postgres

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
	servers := []*Server{New(t, Options{}), New(t, Options{Durable: true})}
	if servers[0].Addr() == servers[1].Addr() || servers[0].PID() == servers[1].PID() {
		t.Fatal("not two servers")
	}
	for i, want := range []string{"off", "on"} {
		s := servers[i]
		if got := query(t, s, "CREATE TABLE t (x int); SHOW fsync;"); got != want {
			t.Errorf("fsync is %s, want %s", got, want)
		}
		if got := processesIn(t, s.Dir); len(got) < 3 {
			t.Errorf("the check below is blind: it sees only %q of a running server", got)
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

func TestCommittedRowsSurviveStopAndKill(t *testing.T) {
	t.Parallel()
	s := New(t, Options{})
	query(t, s, "CREATE TABLE t (x int)")
	for i, end := range []func(){
		func() {
			if err := s.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		s.Kill,
	} {
		query(t, s, "INSERT INTO t VALUES (1)")
		end()
		end() // legal, without effect
		if _, err := s.Exec(t.Context(), "SELECT 1"); err == nil || s.PID() != 0 {
			t.Errorf("process %d answers %v although the server has ended", s.PID(), err)
		}
		if got := processesIn(t, s.Daemon.Data()); len(got) > 0 {
			t.Errorf("left: %q", got)
		}
		if err := s.Freeze(); err == nil {
			t.Error("froze a server that has ended")
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := query(t, s, "SELECT count(*) FROM t"), []string{"1", "2"}[i]; got != want {
			t.Errorf("%s rows, want %s", got, want)
		}
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
	if _, err := s.Exec(ctx, "SELECT 1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen server answered: %v", err)
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	query(t, s, "SELECT 1")
	if err := errors.Join(s.Freeze(), s.Restart(t.Context())); err != nil {
		t.Errorf("restart a frozen server: %v", err)
	}
}

func TestKilledServerLeavesNoSharedMemory(t *testing.T) { // not parallel: others make segments too
	before := segments(t)
	s := New(t, Options{})
	var own []string
	for id := range segments(t) {
		if !before[id] {
			own = append(own, id)
		}
	}
	if len(own) == 0 {
		t.Fatal("the check below is blind: it sees no segment")
	}
	s.Kill()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	after := segments(t)
	for _, id := range own {
		if after[id] {
			t.Errorf("segment %s is left", id)
		}
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
		"bad configuration": {t.Context(), map[string]string{"no_such_setting": "1"}, "no_such_setting"},
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
	before := places
	places = []string{filepath.Join(t.TempDir(), "none")}
	defer func() { places = before }()
	_, err := Start(t.Context(), Options{})
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "scripts/deps.sh") {
		t.Fatalf("error %v, want %v", err, ErrNotInstalled)
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
	if got := processesIn(t, temp); len(got) < 3 {
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
}

func TestDatabaseIsOfTheTestsOwn(t *testing.T) {
	t.Parallel()
	var gone string
	t.Run("one", func(t *testing.T) {
		gone = Database(t)
		if other := Database(t); gone == other {
			t.Errorf("two are %q", other)
		}
		name := gone[strings.LastIndex(gone, "/")+1 : strings.Index(gone, "?")]
		if got := query(t, Shared(t), "\\c "+name+"\nCREATE TABLE t (x int); SELECT current_database();"); got != name {
			t.Errorf("in %q, want %q", got, name)
		}
	})
	name := gone[strings.LastIndex(gone, "/")+1 : strings.Index(gone, "?")]
	if got := query(t, Shared(t), "SELECT count(*) FROM pg_database WHERE datname = '"+name+"'"); got != "0" {
		t.Error("the database outlived its test")
	}
}

func TestLostPortIsTakenElsewhere(t *testing.T) {
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
