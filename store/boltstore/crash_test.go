package boltstore

import (
	"bufio"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

// crashFile names, to a copy of the test binary that is to be killed, its file.
const crashFile = "WARREN_BOLTSTORE_CRASH_FILE"

// crashNoJournal, if it is not empty, tells it to write no journal.
const crashNoJournal = "WARREN_BOLTSTORE_CRASH_NO_JOURNAL"

var effects = []byte("effects")

// answer is one line of the log that the killed process leaves: what it was going
// to do to a call, and then that it was answered.
type answer struct {
	Call     int
	Op       string // claim, complete, transact, abandon, bury
	Answered bool
	Token    uint64
}

// crashLog is written by several workers, and is on the disk line by line.
type crashLog struct {
	mu sync.Mutex
	f  *os.File
}

func (l *crashLog) write(a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := json.Marshal(a)
	if err == nil {
		_, err = l.f.Write(append(b, '\n'))
	}
	if err == nil && a.Answered {
		err = l.f.Sync()
	}
	if err != nil {
		panic(err)
	}
}

// crashWork is the process that is killed: it claims and ends calls until then.
func crashWork(path string) {
	f, err := os.OpenFile(path+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		panic(err)
	}
	// The kill before may have cut a line off.
	if _, err := f.WriteString("\n"); err != nil {
		panic(err)
	}
	s, err := Open(path, Options{
		SweepEvery: -1, NoJournal: os.Getenv(crashNoJournal) != "", journalVersions: 20, // so that it is flushed often
	})
	if err != nil {
		panic(err)
	}
	stats, err := s.Stats(context.Background())
	if err != nil {
		panic(err)
	}
	log := &crashLog{f: f}
	var next atomic.Int64
	next.Store(int64(stats.Total()) + int64(s.epoch)*1_000_000)
	for range 7 {
		go func() {
			for {
				log.work(s, int(next.Add(1)))
			}
		}()
	}
	for {
		log.work(s, int(next.Add(1)))
	}
}

func (l *crashLog) work(s *Store, call int) {
	ctx := context.Background()
	key := numbered(call)
	step := func(op string, token uint64, err error) {
		if err != nil {
			panic(err)
		}
		l.write(answer{Call: call, Op: op, Token: token, Answered: true})
	}
	intend := func(op string) { l.write(answer{Call: call, Op: op}) }
	if rand.IntN(8) == 0 {
		intend("bury")
		_, err := s.Bury(ctx, claimOf(key))
		step("bury", 0, err)
		return
	}
	intend("claim")
	r, won, err := s.Claim(ctx, claimOf(key))
	if !won {
		panic("a new call was not won")
	}
	step("claim", r.Token, err)
	switch rand.IntN(4) {
	case 0:
		intend("transact")
		step("transact", r.Token, s.Transact(ctx, key, r.Token, time.Hour, func(tx *bbolt.Tx) (store.Result, error) {
			b, err := tx.CreateBucketIfNotExists(effects)
			if err != nil {
				return store.Result{}, err
			}
			return done, b.Put(key[:], []byte("done"))
		}))
	case 1:
		intend("abandon")
		step("abandon", r.Token, s.Abandon(ctx, key, r.Token, store.Unended))
	case 2:
	default:
		intend("complete")
		step("complete", r.Token, s.Complete(ctx, key, r.Token, done, time.Hour))
	}
}

// endOf is the state in which an answered operation leaves a call, once its process
// is dead.
var endOf = map[string]store.State{
	"claim": store.Interrupted, "complete": store.Completed, "transact": store.Completed,
	"abandon": store.Interrupted, "bury": store.Tombstone,
}

// A process that is killed at any moment leaves all that it was answered, and of
// what it was not answered all or nothing: the effect of a transaction and its
// record are there together or not at all.
func TestKilledProcessLosesNothingThatItWasAnswered(t *testing.T) {
	t.Parallel()
	for name, noJournal := range map[string]func() bool{
		"journal":    func() bool { return false },
		"no journal": func() bool { return true },
		"switched":   func() bool { return rand.IntN(2) == 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killMany(t, noJournal)
		})
	}
}

func killMany(t *testing.T, noJournal func() bool) {
	const kills = 60
	path := newPath(t)
	for range kills {
		killOne(t, path, noJournal())
	}
	wanted, intended := readLog(t, path+".log")
	s := open(t, path, Options{SweepEvery: -1, NoJournal: noJournal()})
	if s.epoch != kills+1 {
		t.Errorf("the epoch is %d after %d openings", s.epoch, kills)
	}
	if len(wanted) < kills {
		t.Fatalf("only %d calls were answered in all", len(wanted))
	}
	for call, intent := range intended {
		key := numbered(call)
		if intent.Op == "bury" {
			key = key.Tombstone(claimOf(key).Fingerprint)
		}
		r, err := s.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		last, answered := wanted[call]
		want := store.Absent
		if answered {
			want = endOf[last.Op]
		}
		if r.State != want && r.State != endOf[intent.Op] {
			t.Errorf("call %d is %v; answered %+v, begun %q", call, r.State, last, intent.Op)
		}
		if answered && r.Token != last.Token {
			t.Errorf("call %d has the token %d; answered %+v", call, r.Token, last)
		}
		if intent.Op == "transact" {
			compareEffect(t, s, call, r)
		}
	}
	shut(t, s)
	report, err := Check(t.Context(), path)
	if err != nil || len(report.Findings) > 0 {
		t.Errorf("after %d kills: %v, error %v", kills, report.Findings, err)
	}
}

func compareEffect(t *testing.T, s *Store, call int, r store.Record) {
	t.Helper()
	key := numbered(call)
	err := s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(effects)
		if there := b != nil && b.Get(key[:]) != nil; there != (r.State == store.Completed) {
			t.Errorf("call %d: effect %v, record %v", call, there, r.State)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// killOne runs a process on the file, and kills it when it has worked for a while.
func killOne(t *testing.T, path string, noJournal bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+path)
	if noJournal {
		cmd.Env = append(cmd.Env, crashNoJournal+"=yes")
	}
	output, err := os.CreateTemp(filepath.Dir(path), "output")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = output.Close() }()
	cmd.Stderr = output
	before := sizeOf(path + ".log")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	enough := before + 1 + rand.Int64N(4000) // the first byte is written before it opens the file
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for sizeOf(path+".log") <= enough {
		select {
		case err := <-ended:
			b, _ := os.ReadFile(output.Name())
			t.Fatalf("the process ended by itself: %v\n%s", err, b)
		case <-time.After(time.Millisecond):
		}
	}
	time.Sleep(time.Duration(rand.Int64N(int64(time.Millisecond)))) // the moment is random, between two looks too
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a process that was killed has ended in order")
	}
}

func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// readLog returns the last answer and the last intent of each call.
func readLog(t *testing.T, path string) (answered, intended map[int]answer) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	answered, intended = make(map[int]answer), make(map[int]answer)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var a answer
		if json.Unmarshal(lines.Bytes(), &a) != nil {
			continue // the line that the kill cut off; the next one begins in it
		}
		if a.Answered {
			answered[a.Call] = a
		} else {
			intended[a.Call] = a
		}
	}
	return answered, intended
}
