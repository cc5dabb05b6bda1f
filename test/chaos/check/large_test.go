package check

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// large is a history of n calls, of three events each, that is made as it is read.
func large(n int) history.Events {
	return func(yield func(history.Event, error) bool) {
		mode := server.Transactional.String()
		for i := range n {
			id, at := fmt.Sprintf("0b5c7a2e-0000-4000-8000-%012d", i), time.Duration(i)*ms/10
			for _, e := range []history.Event{
				{Kind: history.KindCall, Method: "work", Mode: mode, Op: &appends, Deadline: at + time.Second},
				{Kind: history.KindEffect, Method: "work", Op: &appends},
				{Kind: history.KindEnd, OK: true, Took: ms, Digest: "0123456789abcdef0123456789abcdef", Echo: id},
			} {
				e.CallID, e.Process, e.Client, e.Number = id, theProcess, "a", uint64(i)
				e.At, e.Wall = at, start.Add(at)
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

func TestMemoryIsForCallsAndNotForEvents(t *testing.T) {
	const calls = 20_000
	var before, after runtime.MemStats
	g := newGathered(Options{}.withDefaults())
	runtime.GC()
	runtime.ReadMemStats(&before)
	take := func(only history.Kind) {
		for e, err := range large(calls) {
			if err == nil && (only == "" || e.Kind == only) {
				err = g.take(&e)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	take("")
	// The same again, 8 times: events, and no calls.
	for range 8 {
		take(history.KindEffect)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / calls
	runtime.KeepAlive(g)
	if each > 700 {
		t.Errorf("%d bytes a call", each)
	}
}

// BenchmarkCheck is of a million events, in memory and from a file.
func BenchmarkCheck(b *testing.B) {
	const calls = 333_334
	b.Run("judge", func(b *testing.B) { million(b, large(calls)) })
	b.Run("read and judge", func(b *testing.B) {
		b.StopTimer()
		folder := b.TempDir()
		if err := writeAll(folder, large(calls)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		million(b, history.ReadFolder(folder))
	})
}

func million(b *testing.B, events history.Events) {
	b.Helper()
	for range b.N {
		r, err := Check(events, Options{})
		if err != nil || r.Verdict != OK {
			b.Fatalf("%+v, %v", r, err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MiB-heap")
		b.ReportMetric(float64(r.Events)/b.Elapsed().Seconds()*float64(b.N), "events/s")
	}
}
