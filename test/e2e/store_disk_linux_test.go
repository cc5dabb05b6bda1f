package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/chaos/disk"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// bulky counts the runs of each call, and answers with the number and many bytes.
type bulky struct {
	size int
	mu   sync.Mutex
	runs map[string]int
}

func (b *bulky) handle(_ context.Context, req *warren.Request) (*warren.Reply, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs[req.CallID]++
	return &warren.Reply{Body: fmt.Appendf(bytes.Repeat([]byte("x"), b.size), "%s, run %d", req.CallID, b.runs[req.CallID])}, nil
}

func (b *bulky) count(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.runs[id]
}

// A disk that fills up refuses new calls, before they run. What has run is not
// forgotten: its reply follows when there is room, and it does not run again.
func TestFullDiskRefusesCallsAndLosesNone(t *testing.T) {
	t.Parallel()
	url, dir := rabbit.VHost(t), disk.MountTmpfs(t, 7<<20)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	st := openStore(t, filepath.Join(dir, storeFile), boltstore.Options{SweepEvery: -1})
	b := &bulky{size: 30_000, runs: map[string]int{}}
	m := server.Method{Name: "m", Dedupe: server.Dedupe{Mode: server.AtMostOnce}}
	s := newStoredServer(t, url, st, m, b.handle)
	c := newClient(t, url)
	call := func(id string, timeout time.Duration) (*warren.Reply, error) {
		return c.Call(context.Background(), "m", nil, client.WithCallID(id), client.WithAttempts(1), client.WithTimeout(timeout))
	}

	told := map[string][]byte{} // nil: not answered
	refused := 0
	for i := 0; refused < 20; i++ {
		if i > 1000 {
			t.Fatal("the disk does not fill up")
		}
		id := fmt.Sprint("call-", i)
		reply, err := call(id, patience.Brief)
		e, _ := warren.AsError(err)
		switch {
		case err == nil:
			told[id] = reply.Body
		case e.Outcome == warren.NotExecuted:
			refused++
			rig.WantError(t, err, warren.CodeUnavailable, warren.ReasonStoreUnavailable, warren.NotExecuted)
			if e.RetryAfter <= 0 {
				t.Errorf("no advice when to come again: %+v", e)
			}
			if n := b.count(id); n != 0 {
				t.Errorf("%s is told not to have been executed, and ran %d times", id, n)
			}
		default:
			rig.WantError(t, err, warren.CodeDeadlineExceeded, "", warren.Unknown) // it has run, and cannot be recorded
			told[id] = nil
		}
	}
	compare := func(when string) {
		t.Helper()
		for id, body := range told {
			if body == nil && when == full {
				continue
			}
			reply, err := call(id, patience.Soon)
			if err != nil || body != nil && (!bytes.Equal(reply.Body, body) || !reply.Replayed) {
				t.Errorf("%s %s is answered %v, %v; it was answered: %t", when, id, reply != nil, err, body != nil)
			}
			if n := b.count(id); n != 1 {
				t.Errorf("%s %s has run %d times", when, id, n)
			}
		}
	}
	compare(full)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if _, err := call("afterwards", patience.Soon); err != nil {
		t.Errorf("with room again: %v", err)
	}
	compare("with room again")
	if st := s.Stats(); st.StoreErrors < uint64(refused) {
		t.Errorf("%d calls were refused, %+v", refused, st)
	}
	t.Logf("%d calls were answered or ran, %d were refused", len(told), refused)
}

const full = "on a full disk"

// A store at its limit refuses new calls and replays old ones, until a sweep makes
// room.
func TestFullStoreRefusesCallsUntilASweep(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	var ahead atomic.Int64
	st := openStore(t, filepath.Join(disk.MountTmpfs(t, 16<<20), storeFile), boltstore.Options{
		SizeLimit: 1 << 20, SweepEvery: -1, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	b := &bulky{size: 100_000, runs: map[string]int{}}
	newStoredServer(t, url, st, server.Method{Name: "m"}, b.handle)
	c := newClient(t, url)
	var first *warren.Reply
	for i := 0; ; i++ {
		if i > 50 {
			t.Fatal("the store does not fill up")
		}
		id := fmt.Sprint("call-", i)
		reply, err := c.Call(testContext(t), "m", nil, client.WithCallID(id), client.WithAttempts(1))
		if err == nil {
			if first == nil {
				first = reply
			}
			continue
		}
		e := rig.WantError(t, err, warren.CodeResourceExhausted, warren.ReasonStoreFull, warren.NotExecuted)
		if e.RetryAfter <= 0 || b.count(id) != 0 {
			t.Errorf("%+v, after %d runs", e, b.count(id))
		}
		break
	}
	again, err := c.Call(testContext(t), "m", nil, client.WithCallID("call-0"))
	if err != nil || !again.Replayed || !bytes.Equal(again.Body, first.Body) {
		t.Errorf("a full store does not replay: %v", err)
	}
	ahead.Store(int64(25 * time.Hour)) // past the retention
	if n, err := st.Sweep(t.Context()); err != nil || n == 0 {
		t.Errorf("Sweep: %d, %v", n, err)
	}
	if _, err := c.Call(testContext(t), "m", nil, client.WithCallID("afterwards")); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// A folder that cannot be written is an error at once, and no damage.
func TestReadOnlyFolderIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	url, dir := rabbit.VHost(t), disk.MountTmpfs(t, 10<<20)
	path := filepath.Join(dir, storeFile)
	var n numbered
	serve := func(replayed bool) {
		st := openStore(t, path, boltstore.Options{})
		s := newStoredServer(t, url, st, server.Method{Name: "m"}, n.handle)
		wantReply(t, newClient(t, url), "k", "x", "1  x", replayed)
		rig.Stop(t, s)
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	serve(false)
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(syscall.MS_RDONLY)
	_, err := boltstore.Open(path, boltstore.Options{})
	var unavailable *store.UnavailableError
	if !errors.As(err, &unavailable) || !errors.Is(err, syscall.EROFS) {
		t.Errorf("opened in a read-only folder: %v", err)
	}
	remount(0)
	serve(true)
}
