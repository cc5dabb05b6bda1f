package redisstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
)

func numbered(n int64) store.Key {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func claimOf(key store.Key) store.Claim {
	return store.Claim{
		Key: key, Method: "orders.get", CallID: "call-1", Fingerprint: sha256.Sum256([]byte("request")),
		Lease: time.Minute, Retention: time.Hour,
	}
}

var done = store.Result{State: store.Completed, Payload: make([]byte, 200)}

// callers runs f n times, with as many callers at a time.
func callers(n, at int, f func() error) (time.Duration, error) {
	began := time.Now()
	var left atomic.Int64
	left.Store(int64(n))
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	for range at {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return time.Since(began), nil
}

// BenchmarkPairs compares pairs of claim and complete with pairs of a SET NX and a SET by
// hand, each a round trip of its own, interleaved in one run: "x" is how many times as
// many there are in a second.
func BenchmarkPairs(b *testing.B) {
	for _, fsync := range []string{"no", "always"} {
		config := []string{"appendonly", "no"}
		if fsync == "always" {
			config = []string{"appendonly", "yes", "appendfsync", "always"}
		}
		for _, at := range []int{1, 256} {
			b.Run(fmt.Sprintf("fsync=%s/%d", fsync, at), func(b *testing.B) {
				server := startServer(b, config...)
				client := server.client()
				defer client.Close()
				s, err := Open(b.Context(), client, Options{})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				ctx := context.Background()
				var next atomic.Int64
				ours := func() error {
					r, won, err := s.Claim(ctx, claimOf(numbered(next.Add(1))))
					if err != nil || !won {
						return fmt.Errorf("won %v: %w", won, err)
					}
					return s.Complete(ctx, r.Key, r.Token, done, time.Hour)
				}
				theirs := func() error {
					key := numbered(next.Add(1))
					if err := client.SetNX(ctx, string(key[:]), "in progress", time.Hour).Err(); err != nil {
						return err
					}
					return client.Set(ctx, string(key[:]), done.Payload, time.Hour).Err()
				}
				share := 50 * at
				var mine, hand time.Duration
				n := 0
				for b.Loop() {
					d, err := callers(share, at, ours)
					h, failed := callers(share, at, theirs)
					if err != nil || failed != nil {
						b.Fatal(err, failed)
					}
					mine, hand, n = mine+d, hand+h, n+1
				}
				b.ReportMetric(float64(n*share)/mine.Seconds(), "pairs/s")
				b.ReportMetric(hand.Seconds()/mine.Seconds(), "x")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
