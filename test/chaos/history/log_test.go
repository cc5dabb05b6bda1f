package history

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
)

// envWriter has a subprocess write to a log in that folder until it is killed.
const envWriter = "WARREN_HISTORY_WRITER"

// writeUntilKilled prints the number of each event whose Append has returned.
func writeUntilKilled(folder string) {
	l, err := Open(folder, "writer", time.Now())
	if err != nil {
		panic(err)
	}
	out := bufio.NewWriter(os.Stdout)
	for n := uint64(1); ; n++ {
		if err := l.Append(Event{Kind: KindCall, Number: n, Text: strings.Repeat("x", int(n%3000))}); err != nil {
			panic(err)
		}
		_, _ = fmt.Fprintln(out, n) // Flush has its error
		if err := out.Flush(); err != nil {
			os.Exit(1)
		}
	}
}

func TestKilledProcessHasOnDiskWhatAppendReturnedFor(t *testing.T) {
	t.Parallel()
	for range 3 {
		folder := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envWriter+"="+folder)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		told, lines := uint64(0), bufio.NewScanner(out)
		for lines.Scan() {
			if told, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
				t.Fatal(err)
			}
			if told == 20 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait() // it was killed
		events := all(t, ReadFolder(folder))
		if told < 20 || uint64(len(events)) < told {
			t.Fatalf("%d events are in the log, and Append returned %d times", len(events), told)
		}
		for i, e := range events {
			if e.Number != uint64(i+1) {
				t.Fatalf("event %d has the number %d", i+1, e.Number)
			}
		}
	}
}

func TestEventsOfManyGoroutinesAreAllThereAndInOrder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	l := open(t, folder, "p")
	const goroutines, each = 16, 20
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for n := range each {
				if err := l.Append(Event{Kind: KindNote, Client: strconv.Itoa(g), Number: uint64(n + 1)}); err != nil {
					t.Error(err)
				}
				// A second process sees at once what Append has returned for.
				if n == each/2 {
					seen := 0
					for e, err := range ReadFolder(folder) {
						if err != nil {
							t.Error(err)
						}
						if e.Client == strconv.Itoa(g) {
							seen++
						}
					}
					if seen != n+1 {
						t.Errorf("%d events of %d are to be seen", seen, n+1)
					}
				}
			}
		})
	}
	wg.Wait()
	next := map[string]uint64{}
	for _, e := range all(t, ReadFolder(folder)) {
		next[e.Client]++
		if e.Number != next[e.Client] || e.Process != l.Process() {
			t.Fatalf("%+v is out of order", e)
		}
	}
	if len(next) != goroutines {
		t.Fatalf("events of %d goroutines", len(next))
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	l := open(t, folder, "p")
	var wrote []Event
	rapid.Check(t, func(t *rapid.T) {
		e := Event{
			Kind: rapid.SampledFrom([]Kind{KindCall, KindEnd, KindEffect}).Draw(t, "kind"),
			At:   time.Duration(rapid.Int64().Draw(t, "at")), Wall: time.Unix(rapid.Int64Range(1, 1<<32).Draw(t, "wall"), 5).UTC(),
			CallID: rapid.String().Draw(t, "id"), OK: rapid.Bool().Draw(t, "ok"),
			Outcome: rapid.SampledFrom([]warren.Outcome{warren.Unknown, warren.NotExecuted, warren.Executed}).Draw(t, "outcome"),
			Op:      &Op{Name: OpCAS, New: rapid.String().Draw(t, "new"), Amount: rapid.Int64().Draw(t, "amount")},
			Fault:   &Fault{Name: "cut", Class: Freezes}, Sample: &Sample{Queue: "q", Depth: 3}, Phase: PhaseEnd,
		}
		if err := l.Append(e); err != nil {
			t.Fatal(err)
		}
		e.Process = l.Process()
		wrote = append(wrote, e)
	})
	read := all(t, ReadFolder(folder))
	if len(read) != len(wrote) {
		t.Fatalf("wrote %d events, read %d", len(wrote), len(read))
	}
	for i := range wrote {
		if !reflect.DeepEqual(read[i], wrote[i]) {
			t.Fatalf("wrote %+v\nread  %+v", wrote[i], read[i])
		}
	}
}

func TestLogsOfOneNameAreApart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	a, b := open(t, folder, "client"), open(t, folder, "client")
	if a.Process() == b.Process() {
		t.Fatalf("both are %s", a.Process())
	}
	for _, l := range []*Log{a, b} {
		if err := l.Append(Event{Kind: KindNote}); err != nil {
			t.Fatal(err)
		}
		if !IsProcess(l.Process(), "client") || !IsProcess(l.Process(), l.Process()) || IsProcess(l.Process(), "clien") {
			t.Errorf("%s is not told by its names", l.Process())
		}
	}
	if IsProcess("", "") || IsProcess("client-2@7", "client") {
		t.Error("a process has another's name")
	}
	if n := len(all(t, ReadFolder(folder))); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestTimesBeginWithTheRun(t *testing.T) {
	t.Parallel()
	l, err := Open(t.TempDir(), "late", time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first, _ := l.Now()
	second, wall := l.Now()
	if first < time.Hour || second < first || time.Since(wall) > time.Hour {
		t.Errorf("%v, %v, %v", first, second, wall)
	}
}

func TestNamesThatAreNoFilesAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a/b", "a@b", "a b", "ä"} {
		if l, err := Open(t.TempDir(), name, time.Now()); err == nil {
			t.Errorf("%q is taken", name)
			_ = l.Close()
		}
	}
}

func TestClosedLogTakesNothing(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir(), "p")
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Append(Event{Kind: KindNote}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestFailedLogFailsForEver(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir(), "p")
	good := l.file
	l.file, _ = os.Open(good.Name()) // for reading
	first := l.Append(Event{Kind: KindNote})
	_ = l.file.Close()
	l.file = good
	if again := l.Append(Event{Kind: KindNote}); first == nil || !errors.Is(again, l.Err()) || again == nil {
		t.Errorf("got %v, and then %v", first, again)
	}
	if err := l.Close(); err == nil {
		t.Error("Close knows of nothing")
	}
}

func TestTornLastLineIsLeftOutAndNoOther(t *testing.T) {
	t.Parallel()
	whole := `{"kind":"note","process":"p","at":1,"wall":"2026-01-01T00:00:00Z"}` + "\n"
	write := func(t *testing.T, text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "p@1"+suffix)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for cut := range len(whole) {
		if n := len(all(t, Read(write(t, whole+whole[:cut])))); n != 1 {
			t.Fatalf("%d events with %d bytes of the second", n, cut)
		}
	}
	long := `{"kind":"note","text":"` + strings.Repeat("y", 1<<20) + `"}` + "\n"
	if n := len(all(t, Read(write(t, long+whole+long)))); n != 3 {
		t.Errorf("%d events, of which two are long", n)
	}
	for _, bad := range []string{"{}\n", "\n", whole[:20] + "\n" + whole, "\x00\x00\n"} {
		var failed error
		path := write(t, whole+bad)
		for _, err := range Read(path) {
			failed = err
		}
		if failed == nil || !strings.Contains(failed.Error(), path+":2:") {
			t.Errorf("%q: %v", bad, failed)
		}
	}
}

func TestFolderWithoutLogsIsAnError(t *testing.T) {
	t.Parallel()
	for e, err := range ReadFolder(t.TempDir()) {
		if err == nil {
			t.Errorf("got %+v", e)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, goroutines := range []int{1, 64} {
		b.Run(strconv.Itoa(goroutines), func(b *testing.B) {
			l, err := Open(b.TempDir(), "p", time.Now())
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			var wg sync.WaitGroup
			for range goroutines {
				wg.Go(func() {
					for range b.N/goroutines + 1 {
						if err := l.Append(Event{Kind: KindEnd, CallID: "0b5c7a2e-0000-4000-8000-000000000000", OK: true}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestLongHistoryIsReadInOrderAndAsFarAsWanted(t *testing.T) {
	t.Parallel()
	const lines = 5_000 // several blocks
	var b strings.Builder
	for n := range lines {
		fmt.Fprintf(&b, `{"kind":"note","n":%d,"text":%q}`+"\n", n+1, strings.Repeat("z", n%200))
	}
	path := filepath.Join(t.TempDir(), "p@1"+suffix)
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []uint64{1, 3_000, lines} {
		last := uint64(0)
		for e, err := range Read(path, path) {
			if err != nil || e.Number != last+1 {
				t.Fatalf("%d after %d: %v", e.Number, last, err)
			}
			if last = e.Number; last == wanted {
				break
			}
		}
		if last != wanted {
			t.Errorf("read up to %d", last)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Replace(b.String(), `{"kind":"note","n":4321,`, `{"kind":`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	last, failed := uint64(0), error(nil)
	for e, err := range Read(path) {
		if failed = err; err == nil {
			last = e.Number
		}
	}
	if last != 4320 || failed == nil || !strings.Contains(failed.Error(), path+":4321:") {
		t.Errorf("read up to %d: %v", last, failed)
	}
}

func TestLineWithoutBoundIsAnError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "p@1"+suffix)
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 2*maxLine+blockSize), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, err := range Read(path) {
		if err == nil || !strings.Contains(err.Error(), "longer than") {
			t.Errorf("got %v", err)
		}
		return
	}
	t.Error("it is taken for a torn line")
}
