package boltstore

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

// pairs claims and completes n calls with as many callers at a time, and returns
// how long it took.
func pairs(b *testing.B, s *Store, callers, n int, next *atomic.Int64) time.Duration {
	b.Helper()
	began := time.Now()
	var left atomic.Int64
	left.Store(int64(n))
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				c := claimOf(numbered(int(next.Add(1))))
				c.Retention = 24 * time.Hour
				r, won, err := s.Claim(context.Background(), c)
				if err == nil && won {
					err = s.Complete(context.Background(), r.Key, r.Token, done, 24*time.Hour)
				}
				if err != nil || !won {
					b.Errorf("won %v, error %v", won, err)
					return
				}
			}
		})
	}
	group.Wait()
	return time.Since(began)
}

// updates makes n pairs of plain bbolt updates, one after the other, as a store
// without group commit would.
func updates(b *testing.B, db *bbolt.DB, n int, next *atomic.Int64) time.Duration {
	b.Helper()
	value := make([]byte, 200)
	began := time.Now()
	for range n {
		key := numbered(int(next.Add(1)))
		for range 2 {
			err := db.Update(func(tx *bbolt.Tx) error {
				bucket, err := tx.CreateBucketIfNotExists([]byte("plain"))
				if err != nil {
					return err
				}
				return bucket.Put(key[:], value)
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	return time.Since(began)
}

// BenchmarkPairs compares pairs of claim and complete with pairs of plain updates
// of bbolt, interleaved in one run: "x" is how many times as many there are in a
// second. Both files have the same number of records.
func BenchmarkPairs(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			s := open(b, newPath(b), Options{SizeLimit: 8 << 30})
			db, err := bbolt.Open(filepath.Join(b.TempDir(), "plain.db"), 0o600, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			var next, plain atomic.Int64
			var ours, theirs time.Duration
			const each = 50
			share := max(each*callers/2, each)
			pairs(b, s, callers, share, &next)
			updates(b, db, each, &plain)
			n := 0
			for b.Loop() {
				ours += pairs(b, s, callers, share, &next)
				theirs += updates(b, db, each, &plain)
				n++
			}
			rate := float64(n*share) / ours.Seconds()
			b.ReportMetric(rate, "pairs/s")
			b.ReportMetric(rate/(float64(n*each)/theirs.Seconds()), "x")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkOpenMillion opens a file of a million records.
func BenchmarkOpenMillion(b *testing.B) {
	path := newPath(b)
	o := Options{SizeLimit: 8 << 30, SweepEvery: -1}
	s, err := Open(path, o)
	if err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	pairs(b, s, 1024, 1_000_000, &next)
	shut(b, s)
	var heap, millis float64
	n := 0
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		s, err := Open(path, o)
		if err != nil {
			b.Fatal(err)
		}
		millis += float64(time.Since(began).Microseconds()) / 1000
		runtime.GC()
		runtime.ReadMemStats(&after)
		heap += (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / (1 << 20)
		n++
		stats, err := s.Stats(context.Background())
		if err != nil || stats.Records[store.Completed] != 1_000_000 {
			b.Fatalf("records %v, error %v", stats.Records, err)
		}
		b.ReportMetric(float64(stats.Size)/(1<<20), "file-MiB")
		shut(b, s)
	}
	b.ReportMetric(millis/float64(n), "ms/open")
	b.ReportMetric(heap/float64(n), "heap-MiB/open")
	b.ReportMetric(0, "ns/op")
}
