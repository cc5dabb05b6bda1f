package storetest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/warren-rpc/warren/store"
)

var processGroups = []group{
	{name: "KilledOwnerIsReplaced", run: killedOwner, need: ofProcesses,
		sentence: "An owner is dead when its lease has run out, or the store has learnt that its process has ended: that it was killed."},
	{name: "PausedOwnerIsFenced", run: pausedOwner, need: ofProcesses,
		sentence: "Who was believed dead and was replaced finds its token stale."},
	{name: "ProcessesShareCalls", run: sharedCalls, need: ofProcesses,
		sentence: "Several processes may use the store at the same time: of several claims of one key one wins, and a record ends once."},
}

// realTime opens the store by the clock that the processes go by.
func (e *env) realTime() {
	e.Helper()
	e.close()
	e.store = e.open(e.tb, e.dir, time.Now, e.options)
	s := e.store
	e.tb.Cleanup(func() { _ = s.Close() })
}

const (
	// shortLease ends while a test waits for it.
	shortLease = 2 * time.Second
	// longLease does not.
	longLease = time.Hour
)

// killedOwner kills a process that has claims. What it has ended stays so, and what it
// had in progress is taken over by others: one in this process, one in another.
func killedOwner(e *env) {
	e.realTime()
	length := shortLease
	if e.f.Deaths {
		length = longLease
	}
	of := func() store.Claim {
		c := claimOf(e.key())
		c.Lease = length
		return c
	}
	owner, heir := e.process(), e.process()
	alive := heir.claims(of())
	done := of()
	ended := owner.claims(done)
	owner.ask(command{
		Op: "complete", Key: done.Key, Token: ended.Token, Retention: retention,
		Result: store.Result{State: store.Completed, Payload: []byte("done")},
	})
	first, second, never := of(), of(), of()
	claimed := []store.Record{owner.claims(first), owner.claims(second), owner.claims(never)}
	if e.f.Deaths {
		for _, r := range claimed {
			if got := e.lose(claimOf(r.Key)); got.State != store.InProgress || got.Owner != r.Owner {
				e.Errorf("before its owner was killed, what %q has claimed is %v of %q", r.Owner, brief(got), got.Owner)
			}
		}
	}
	owner.kill()
	for _, r := range claimed {
		e.learnsDeath(r.Key)
	}
	never.Once = true
	if got := e.lose(never); got.State != store.Interrupted || got.Attempts != 1 {
		e.Errorf("a claim with Once of what a killed owner had: %v", brief(got))
	}
	next := []store.Record{e.win(first), heir.claims(second)}
	for i, r := range next {
		if r.Token != claimed[i].Token+1 || r.Attempts != 2 || r.First {
			e.Errorf("the takeover of %v is %v", brief(claimed[i]), brief(r))
		}
		e.replaced(claimed[i])
	}
	if got := e.lose(done); got.State != store.Completed || string(got.Payload) != "done" {
		e.Errorf("what a killed owner had ended is %v", brief(got))
	}
	if got := e.get(alive.Key); e.f.Deaths && (got.State != store.InProgress || got.Token != alive.Token) {
		e.Errorf("after another process was killed, what %q has claimed is %v", alive.Owner, brief(got))
	}
}

// pausedOwner stops a process that has claims for longer than its lease. Others take
// over meanwhile, and then it goes on where it was.
func pausedOwner(e *env) {
	e.realTime()
	owner, heir := e.process(), e.process()
	of := func() store.Claim {
		c := claimOf(e.key())
		c.Lease = shortLease
		return c
	}
	ended, open, left := of(), of(), of()
	old := []store.Record{owner.claims(ended), owner.claims(open), owner.claims(left)}
	if err := pause(owner.cmd.Process); err != nil {
		e.Fatalf("a process cannot be paused: %v", err)
	}
	for _, r := range old {
		e.learnsDeath(r.Key)
	}
	done := e.end(e.win(ended), store.Completed, []byte("by the next"))
	open.Lease = longLease
	next := heir.claims(open)
	// It finds these before it when it goes on.
	late := store.Result{State: store.Completed, Payload: []byte("late")}
	for _, r := range old[:2] {
		owner.send(command{Op: "renew", Key: r.Key, Token: r.Token, Lease: longLease})
		owner.send(command{Op: "complete", Key: r.Key, Token: r.Token, Result: late, Retention: retention})
		owner.send(command{Op: "abandon", Key: r.Key, Token: r.Token})
	}
	if err := resume(owner.cmd.Process); err != nil {
		e.Fatalf("a process cannot go on: %v", err)
	}
	for range old[:2] {
		for _, op := range []string{"Renew", "Complete", "Abandon"} {
			if a := owner.receive(); !a.Stale {
				e.Errorf("%s by an owner that was paused and replaced: error %q; want ErrStale", op, a.Err)
			}
		}
	}
	e.unchanged(done, "an owner that was paused and replaced")
	if got := e.get(open.Key); got.State != store.InProgress || got.Token != next.Token {
		e.Errorf("what was taken over from an owner that was paused is %v; it was %v", brief(got), brief(next))
	}
	// What nobody has taken over it still ends.
	if a := owner.ask(command{Op: "complete", Key: left.Key, Token: old[2].Token, Result: late, Retention: retention}); a.Stale {
		e.Errorf("Complete by an owner that was paused, and not replaced, is stale")
	}
	if got := e.get(left.Key); got.State != store.Completed || string(got.Payload) != "late" {
		e.Errorf("what an owner has ended that was paused, and not replaced, is %v", brief(got))
	}
	// It is alive to all from its next claim on.
	again := of()
	again.Lease = longLease
	r := owner.claims(again)
	if got := e.lose(again); got.State != store.InProgress || got.Token != r.Token {
		e.Errorf("what an owner has claimed that was paused before is %v", brief(got))
	}
}

// work is a task for processes: to end the keys from First on, all of them, each by
// whoever wins it. What a process does it writes down in Log, as notes.
type work struct {
	First, Count uint64
	Log          string
}

const (
	workers = 4
	// workLease is the lease of claims that are not renewed, and are ended at once.
	workLease = 2 * time.Second
)

func (w work) run(ctx context.Context, s store.Store) error {
	log, err := os.Create(w.Log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	write := func(n note) error {
		line, err := json.Marshal(n)
		if err == nil {
			_, err = log.Write(append(line, '\n'))
		}
		return err
	}
	errs := make([]error, workers)
	race(workers, func(i int) {
		random := rand.New(rand.NewPCG(rand.Uint64(), uint64(i)))
		for errs[i] == nil {
			left := 0
			for _, offset := range random.Perm(int(w.Count)) {
				var ended bool
				if ended, errs[i] = attempt(ctx, s, random, w.First+uint64(offset), write); errs[i] != nil {
					return
				}
				if !ended {
					left++
				}
			}
			if left == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	return errors.Join(errs...)
}

// attempt claims a key, if it can, and ends it, or not. It reports whether it has
// ended, by whomever.
func attempt(ctx context.Context, s store.Store, random *rand.Rand, n uint64, write func(note) error) (ended bool, err error) {
	c := claimOf(numbered(n))
	c.Lease = workLease
	r, won, err := s.Claim(ctx, c)
	if err != nil || !won {
		return r.State.Ended(), err
	}
	if err := write(note{Key: n, Op: "claim", Done: true, Token: r.Token}); err != nil {
		return false, err
	}
	time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
	switch random.IntN(6) {
	case 0:
		return false, nil // its lease has to end
	case 1, 2:
		return false, unlessStale(s.Abandon(ctx, c.Key, r.Token, store.Unended))
	}
	if err := write(note{Key: n, Op: "complete", Token: r.Token}); err != nil {
		return false, err
	}
	err = s.Complete(ctx, c.Key, r.Token, store.Result{State: store.Completed, Payload: crashPayload(n, r.Token)}, retention)
	if err != nil {
		return false, unlessStale(err)
	}
	return true, write(note{Key: n, Op: "complete", Done: true, Token: r.Token})
}

func unlessStale(err error) error {
	if errors.Is(err, store.ErrStale) {
		return nil
	}
	return err
}

// sharedCalls has three processes work at the same keys, and kills some of them on the
// way. Each key is ended once, by one of those that have won it.
func sharedCalls(e *env) {
	const processes, kills, count = 3, 3, 60
	e.realTime()
	first := uint64(1_000_000)
	dir := e.tb.TempDir()
	logs := 0
	begin := func() *process {
		p := e.process()
		logs++
		p.send(command{Op: "work", Work: work{First: first, Count: count, Log: filepath.Join(dir, fmt.Sprintf("%d.log", logs))}})
		return p
	}
	var working []*process
	for range processes {
		working = append(working, begin())
	}
	for range kills {
		time.Sleep(time.Duration(50+rand.IntN(200)) * time.Millisecond)
		victim := rand.IntN(processes)
		working[victim].kill()
		working[victim] = begin()
	}
	for _, p := range working {
		if a := p.receive(); a.Err != "" {
			e.Errorf("a process at work: %s", a.Err)
		}
	}
	e.judgeShared(dir, first, count)
}

// judgeShared compares the records with what the processes have written down.
func (e *env) judgeShared(dir string, first, count uint64) {
	e.Helper()
	type claimed struct {
		key, token uint64
	}
	wins, tried, confirmed := make(map[claimed]int), make(map[claimed]int), make(map[uint64][]uint64)
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		e.Fatalf("the logs of what was done: %v", err)
	}
	for _, name := range logs {
		file, err := os.Open(name) //nolint:gosec // the suite's own file
		if err != nil {
			e.Fatalf("the log of what was done: %v", err)
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			var n note
			if json.Unmarshal(lines.Bytes(), &n) != nil {
				break // killed while it was written
			}
			switch c := (claimed{n.Key, n.Token}); {
			case n.Op == "claim":
				wins[c]++
			case n.Done:
				confirmed[n.Key] = append(confirmed[n.Key], n.Token)
			default:
				tried[c]++
			}
		}
		_ = file.Close()
	}
	for c, n := range wins {
		if n > 1 {
			e.Errorf("token %d of one key was won %d times", c.token, n)
		}
	}
	for key := first; key < first+count; key++ {
		got := e.get(numbered(key))
		ends := confirmed[key]
		switch {
		case got.State != store.Completed || string(got.Payload) != string(crashPayload(key, got.Token)):
			e.Errorf("a key at which all have worked is %v", brief(got))
		case len(ends) > 1:
			e.Errorf("a key was ended with each of the tokens %v", ends)
		case len(ends) == 1 && ends[0] != got.Token:
			e.Errorf("a key was ended with token %d, and is %v", ends[0], brief(got))
		case tried[claimed{key, got.Token}] != 1:
			e.Errorf("%d attempts were made to end a key that is %v", tried[claimed{key, got.Token}], brief(got))
		}
	}
}
