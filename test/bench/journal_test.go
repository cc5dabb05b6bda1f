package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/rabbit"
)

// BenchmarkJournal compares calls to a server whose store has a journal with calls to one
// whose store has none, on one broker, with a new file and with one of 200,000 records. Each
// iteration measures both, one after the other: "x" is how many times as many calls per second
// there are with the journal, in the median. "µs-cpu" is what a call costs of the processor,
// client and server together.
//
//	go test ./test/bench -run - -bench Journal -benchtime 31x
func BenchmarkJournal(b *testing.B) {
	for _, records := range []int{0, 200_000} {
		file := filledStore(b, records)
		for _, inflight := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("records=%d/inflight=%d", records, inflight), func(b *testing.B) {
				s := spec{URL: rabbit.VHost(b), workload: workload{Size: 64, Inflight: inflight}}
				compareJournals(b, s,
					serveAndConnect(b, "bench.journal", s, file, boltstore.Options{}),
					serveAndConnect(b, "bench.direct", s, file, boltstore.Options{NoJournal: true}),
				)
			})
		}
	}
}

// compareJournals measures calls to the two servers in turn.
func compareJournals(b *testing.B, s spec, callers ...caller) {
	b.Helper()
	var ratios []float64
	var calls [2]int64
	var elapsed, cpu [2]time.Duration
	for b.Loop() {
		var rate [2]float64
		for n := range callers {
			i := (len(ratios) + n) % 2 // each is the first in every second round
			began, err := usageNow()
			if err != nil {
				b.Fatal(err)
			}
			t, err := closedLoop(b.Context(), callers[i], s, time.Second)
			if err != nil {
				b.Fatal(err)
			}
			ended, err := usageNow()
			if err != nil {
				b.Fatal(err)
			}
			cpu[i] += ended.since(began).CPU
			calls[i] += t.Calls
			elapsed[i] += t.Elapsed
			rate[i] = float64(t.Calls) / t.Elapsed.Seconds()
		}
		ratios = append(ratios, rate[0]/rate[1])
	}
	slices.Sort(ratios)
	for i, name := range []string{"journal", "direct"} {
		b.ReportMetric(float64(calls[i])/elapsed[i].Seconds(), name+"-calls/s")
		b.ReportMetric(float64(cpu[i].Microseconds())/float64(calls[i]), name+"-µs-cpu")
	}
	b.ReportMetric(ratios[len(ratios)/4], "x-quarter")
	b.ReportMetric(ratios[len(ratios)/2], "x")
	b.ReportMetric(ratios[len(ratios)*3/4], "x-three-quarters")
	b.ReportMetric(0, "ns/op")
}

// filledStore returns a file with so many records of calls.
func filledStore(b *testing.B, records int) (path string) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "store.db")
	st, err := boltstore.Open(path, boltstore.Options{SizeLimit: benchStoreLimit})
	if err != nil {
		b.Fatal(err)
	}
	const callers = 1024
	var group sync.WaitGroup
	for first := range callers {
		group.Go(func() {
			for i := first; i < records; i += callers {
				scope := store.Scope{Method: "bench", CallID: fmt.Sprint(i)}
				claim := store.Claim{Key: scope.Key(), Method: scope.Method, CallID: scope.CallID, Lease: time.Minute, Retention: time.Hour}
				r, _, err := st.Claim(context.Background(), claim)
				if err == nil {
					result := store.Result{State: store.Completed, Payload: make([]byte, 64)}
					err = st.Complete(context.Background(), r.Key, r.Token, result, time.Hour)
				}
				if err != nil {
					b.Errorf("record %d: %v", i, err)
					return
				}
			}
		})
	}
	group.Wait()
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

// serveAndConnect serves a queue with a copy of a store's file until the benchmark ends, and
// returns a caller that has warmed up.
func serveAndConnect(b *testing.B, queue string, s spec, file string, o boltstore.Options) caller {
	b.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	file = filepath.Join(b.TempDir(), "store.db")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		b.Fatal(err)
	}
	o.SizeLimit = benchStoreLimit
	st, err := boltstore.Open(file, o)
	if err != nil {
		b.Fatal(err)
	}
	s.Queue = queue
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	ready, served := make(chan struct{}), make(chan error, 1)
	go func() { served <- serveWarren(ctx, s, server.Classic, st, func() { close(ready) }) }()
	b.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			b.Errorf("serve: %v", err)
		}
		if err := st.Close(); err != nil {
			b.Errorf("close the store: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-served:
		served <- nil
		b.Fatalf("serve: %v", err)
	}
	c, err := connectWarren(false)(b.Context(), s)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := c.close(); err != nil {
			b.Errorf("close the client: %v", err)
		}
	})
	if _, err := closedLoop(b.Context(), c, s, 500*time.Millisecond); err != nil {
		b.Fatal(err)
	}
	return c
}
