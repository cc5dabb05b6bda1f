package server_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// cost is what the process has: goroutines, and bytes of heap and stacks.
func cost() (goroutines, bytes int) {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), int(m.HeapInuse + m.StackInuse)
}

// The figures include the broker's, which runs in this process. The test is not
// parallel to others, whose would count too.
func TestIdleMethodsCostLittle(t *testing.T) {
	const methods, calls, most, mostBytes = 100, 64, 500, 40 << 20
	r := rig.New(t, amqptest.Options{Listen: "none"})
	s := r.NewServer(func(c *server.Config) { c.Store = openFile(t, filepath.Join(t.TempDir(), "store.db")) })
	c := r.Ready()
	goroutines, bytes := cost()
	name := func(i int) string { return fmt.Sprintf("m%d", i) }
	for i := range methods {
		m := server.Method{Name: name(i), Concurrency: 64, Queue: server.Queue{Type: server.Classic}}
		if err := s.HandleRaw(m, rig.Echo); err != nil {
			t.Fatal(err)
		}
	}
	r.Start(s)
	extra := func() (int, int) {
		g, b := cost()
		return g - goroutines, b - bytes
	}
	if g, b := extra(); g >= most || b >= mostBytes {
		t.Errorf("%d goroutines and %d KiB more than before; want fewer than %d and %d", g, b>>10, most, mostBytes>>10)
	} else {
		t.Logf("%d goroutines and %d KiB more than before", g, b>>10)
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience.Soon)
	defer cancel()
	var calling sync.WaitGroup
	for i := range methods * calls {
		calling.Go(func() {
			if _, err := c.Call(ctx, name(i%methods), []byte("x")); err != nil {
				t.Error(err)
			}
		})
	}
	calling.Wait()
	// What the calls have left behind of the broker's own record is no cost of the server.
	for g, _ := extra(); g >= most; g, _ = extra() {
		if ctx.Err() != nil {
			t.Fatalf("after calls, %d goroutines more than before; want fewer than %d", g, most)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
