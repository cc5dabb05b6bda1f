package storetest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
)

// crashDir is the environment variable that makes a test binary the process that is
// killed: it is the folder to work in.
const crashDir = "WARREN_STORETEST_CRASH"

const (
	crashWorkers = 4
	// crashLease is long enough for owners to live, by the real clock, until their
	// process is killed and others look.
	crashLease = time.Hour
)

var crashGroups = []group{
	{name: "Killed", run: killed, need: durable,
		sentence: "Durable: what was committed is there after the process has ended without warning. One that fails may have made its change."},
}

// note is a line of what the process writes down: before it does something to a key,
// and after it was told that it is done.
type note struct {
	Key   uint64
	Op    string // "claim", "complete", "abandon", "bury"
	Done  bool
	Token uint64 // of a claim that is done
}

// crashWork works until the process is killed, or its parent has ended. What it writes
// down needs no fsync: it outlives the process in the system's memory.
func crashWork(t *testing.T, open Open, dir string) {
	t.Helper()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	s := open(t, filepath.Join(dir, "store"), time.Now, Options{})
	seed := rand.Uint64()
	race(crashWorkers, func(w int) {
		log, err := os.Create(filepath.Join(dir, fmt.Sprintf("%020d-%d.log", seed, w))) //nolint:gosec // the suite's own folder
		if err != nil {
			t.Errorf("the log of what was done: %v", err)
			return
		}
		write := func(n note) {
			line, err := json.Marshal(n)
			if err == nil {
				_, err = log.Write(append(line, '\n'))
			}
			if err != nil {
				t.Errorf("the log of what was done: %v", err)
			}
		}
		random := rand.New(rand.NewPCG(seed, uint64(w)))
		for !t.Failed() {
			crashCall(t, s, random, rand.Uint64(), write)
		}
	})
}

// crashCall does a random life of one key, up to some point.
func crashCall(t *testing.T, s store.Store, random *rand.Rand, n uint64, write func(note)) {
	t.Helper()
	ctx, key := t.Context(), numbered(n)
	var token uint64
	do := func(op string, f func() error) {
		t.Helper()
		write(note{Key: n, Op: op})
		if err := f(); err != nil {
			t.Errorf("%s: %v", op, err)
		}
		write(note{Key: n, Op: op, Done: true, Token: token})
	}
	claim := claimOf(key)
	claim.Lease = crashLease
	for range 1 + random.IntN(2) {
		do("claim", func() error {
			r, won, err := s.Claim(ctx, claim)
			if token = r.Token; !won && err == nil {
				err = fmt.Errorf("it did not win: %v", brief(r))
			}
			return err
		})
		switch random.IntN(4) {
		case 0:
			return
		case 1:
			do("abandon", func() error { return s.Abandon(ctx, key, token, store.Unended) })
			continue
		default:
			do("complete", func() error {
				return s.Complete(ctx, key, token, store.Result{State: store.Completed, Payload: crashPayload(n, token)}, retention)
			})
			return
		}
	}
	if random.IntN(2) == 0 {
		do("bury", func() error {
			_, err := s.Bury(ctx, claim)
			return err
		})
	}
}

func crashPayload(n, token uint64) []byte {
	return payload(int(n%9000 + token%256)) // a store's first token may be any
}

// crashed is what a key's record may be: as of the last thing that was confirmed, or
// as of the one after it, which was not.
type crashed struct {
	sure, maybe store.Record
	pending     bool
}

// after returns the record that the note leaves, as it is once its owner is dead.
func (n note) after(r store.Record) store.Record {
	switch n.Op {
	case "claim":
		r.State = store.Interrupted
		r.Attempts++
		r.Token++
		if n.Done {
			r.Token = n.Token
		}
	case "complete":
		r.State, r.Payload = store.Completed, crashPayload(n.Key, r.Token)
	case "bury":
		r.State = store.Tombstone
	default: // what was abandoned looks like what was left
	}
	return r
}

func readNotes(e *env, dir string, into map[uint64]*crashed) {
	e.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		e.Fatalf("the logs of what was done: %v", err)
	}
	for _, name := range logs {
		file, err := os.Open(name) //nolint:gosec // the suite's own folder
		if err != nil {
			e.Fatalf("the log of what was done: %v", err)
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			var n note
			if json.Unmarshal(lines.Bytes(), &n) != nil {
				break // killed while it was written
			}
			c := into[n.Key]
			if c == nil {
				c = new(crashed)
				into[n.Key] = c
			}
			c.maybe, c.pending = n.after(c.sure), !n.Done
			if n.Done {
				c.sure = c.maybe
			}
		}
		_ = file.Close()
		if err := os.Remove(name); err != nil {
			e.Fatalf("the log of what was done: %v", err)
		}
	}
}

// killed has a process work on a store, kills it at a random moment, and looks at what
// it left; again and again, with all that earlier ones have left.
func killed(e *env) {
	e.close()
	dir := e.tb.TempDir()
	e.dir = filepath.Join(dir, "store")
	if err := os.Mkdir(e.dir, 0o700); err != nil {
		e.Fatalf("%v", err)
	}
	if e.f.Leases {
		e.clock.move(2 * crashLease)
	}
	known := make(map[uint64]*crashed)
	confirmed := 0
	for range e.f.Kills {
		e.kill(dir)
		before := len(known)
		readNotes(e, dir, known)
		confirmed += len(known) - before
		e.store = e.another()
		for n, c := range known {
			e.inspect(n, c)
		}
		e.close()
	}
	if confirmed < e.f.Kills {
		e.Errorf("%d processes have begun %d calls before they were killed", e.f.Kills, confirmed)
	}
}

// kill runs the process until it has begun to work, and a random time longer.
func (e *env) kill(dir string) {
	e.Helper()
	cmd := e.binary(crashDir, dir)
	output := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = output, output
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		e.Fatalf("the process to be killed: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	limit := time.Now().Add(time.Minute)
	for working := false; !working; time.Sleep(time.Millisecond) {
		logs, _ := filepath.Glob(filepath.Join(dir, "*.log")) // the pattern is a good one
		for _, name := range logs {
			if info, err := os.Stat(name); err == nil && info.Size() > 0 {
				working = true
			}
		}
		if len(ended) > 0 || time.Now().After(limit) {
			break
		}
	}
	time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
	if len(ended) > 0 {
		e.Fatalf("the process ended by itself: %v\n%s", <-ended, output)
	}
	_ = cmd.Process.Kill()
	if err := <-ended; err == nil {
		e.Fatalf("the process ended well before it was killed:\n%s", output)
	}
	_ = stdin.Close()
}

// inspect compares a record with what the dead process has written down, and ends it,
// so that later inspections know what it is.
func (e *env) inspect(n uint64, c *crashed) {
	e.Helper()
	got := e.get(numbered(n))
	same := func(want store.Record) bool {
		return want.State == got.State && want.Token == got.Token && want.Attempts == got.Attempts &&
			string(want.Payload) == string(got.Payload)
	}
	// The first token that a store gives is its own choice.
	if c.pending && c.sure.State == store.Absent && got.State == store.Interrupted {
		c.maybe.Token = got.Token
	}
	if !same(c.sure) && (!c.pending || !same(c.maybe)) {
		e.Errorf("a record is %v after its process was killed; it was %v, and then (under way: %v) %v",
			brief(got), brief(c.sure), c.pending, brief(c.maybe))
		return
	}
	if got.State == store.Interrupted {
		claim := claimOf(got.Key)
		claim.Once = true
		e.lose(claim)
		claim.Once = false
		next := e.win(claim)
		if next.Token != got.Token+1 || next.Attempts != got.Attempts+1 {
			e.Errorf("the takeover of %v is %v", brief(got), brief(next))
		}
		got = e.end(next, store.Completed, crashPayload(n, next.Token))
	}
	c.sure, c.pending = got, false
}
