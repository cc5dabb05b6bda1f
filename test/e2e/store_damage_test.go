package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

const damagedCalls = 40

// A file that was damaged while the server was down is refused, when it is opened or
// when a record is not what it was: no call runs again because its record cannot be
// read. With the file as it was, all is as it was.
func TestDamagedFileRunsNothingAgain(t *testing.T) {
	t.Parallel()
	url, path := rabbit.VHost(t), filepath.Join(t.TempDir(), storeFile)
	b := &bulky{size: 5000, runs: map[string]int{}}
	replies := map[string]*warren.Reply{}
	options := boltstore.Options{SizeLimit: 1 << 20} // most of the file is in use then
	c := newClient(t, url)

	// serve serves from the file as it is, and returns how many calls were replayed
	// and how many refused.
	serve := func(st *boltstore.Store) (replayed, refused int) {
		s := newStoredServer(t, url, st, server.Method{Name: "m"}, b.handle)
		defer func() {
			rig.Stop(t, s)
			_ = st.Close() // a damaged one may say so
		}()
		for i := range damagedCalls {
			id := fmt.Sprint("call-", i)
			reply, err := c.Call(testContext(t), "m", nil, client.WithCallID(id), client.WithAttempts(1), client.WaitForServer())
			before := replies[id]
			switch {
			case err != nil:
				refused++
				rig.WantError(t, err, warren.CodeUnavailable, warren.ReasonStoreUnavailable, warren.NotExecuted)
			case before == nil:
				replies[id] = reply
			case !reply.Replayed || !bytes.Equal(reply.Body, before.Body):
				t.Errorf("%s is answered %q; want %q", id, reply.Body, before.Body)
			default:
				replayed++
			}
			if n := b.count(id); n != 1 {
				t.Fatalf("%s has run %d times", id, n)
			}
		}
		return replayed, refused
	}
	serve(openStore(t, path, options))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// fails reports whether the file is refused when it is opened, as it must be then.
	fails := func(what string) bool {
		t.Helper()
		st, err := boltstore.Open(path, options)
		if err == nil {
			_ = st.Close()
			return false
		}
		var corrupt *store.CorruptError
		if !errors.As(err, &corrupt) || corrupt.Repair != "warren store check "+path || !strings.Contains(err.Error(), corrupt.Repair) {
			t.Errorf("%s: %v", what, err)
		}
		return true
	}

	// Up to half of a file may be room to grow.
	write(content[:len(content)/3])
	if !fails("truncated") {
		t.Error("half a file was opened")
	}
	if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, content[:len(content)/3]) {
		t.Errorf("a damaged file was changed: %v", err)
	}

	atOpen, later := 0, 0
	const places = 8
	for i := range places {
		at := (2*i + 1) * len(content) / (2 * places)
		flipped := bytes.Clone(content)
		for j := range 64 {
			flipped[at+j] ^= 0xff
		}
		write(flipped)
		if fails(fmt.Sprintf("flipped at %d", at)) {
			atOpen++
			continue
		}
		if _, refused := serve(openStore(t, path, boltstore.Options{})); refused > 0 {
			later++
		}
	}
	t.Logf("of %d damages %d were found when the file was opened, %d later", places, atOpen, later)
	if atOpen+later == 0 {
		t.Error("no damage was found")
	}
	write(content)
	if replayed, refused := serve(openStore(t, path, boltstore.Options{})); replayed != damagedCalls || refused != 0 {
		t.Errorf("the sound file replays %d of %d calls, and %d are refused", replayed, damagedCalls, refused)
	}
}

// One file serves one process. A second one is told which has it, and does no harm.
func TestSecondProcessIsToldWhoHasTheFile(t *testing.T) {
	t.Parallel()
	spec := bankSpec{URL: rabbit.VHost(t), Folder: t.TempDir(), Mode: server.Transactional}
	bank := startBank(t, spec)
	patience.Eventually(t, "the bank serves", func() bool { return bank.count("ready") == 1 || bank.ended() })
	began := time.Now()
	_, err := boltstore.Open(filepath.Join(spec.Folder, storeFile), boltstore.Options{})
	var held *store.HeldError
	if !errors.As(err, &held) || !strings.Contains(held.Holder, fmt.Sprint("process ", bank.cmd.Process.Pid, ",")) {
		t.Errorf("a file that process %d has was opened: %v", bank.cmd.Process.Pid, err)
	}
	if took := time.Since(began); took > patience.Soon/2 { // 1 s, on a machine with nothing else to do
		t.Errorf("it took %v to say so", took)
	}
	c := newClient(t, spec.URL)
	if _, err := client.Call[receipt](testContext(t), c, "transfer", transfer{1, 2, 3}); err != nil {
		t.Errorf("the process that has the file does not serve: %v", err)
	}
	kill(t, bank)
	// Its lock has ended with it.
	openStore(t, filepath.Join(spec.Folder, storeFile), boltstore.Options{})
}
