package disk_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/chaos/disk"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/patience"
)

const envRole = "DISK_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(envRole) != "" {
		if err := stall(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// stall stops a disk and hangs in a write to it, to be killed.
func stall() error {
	d, err := disk.New(disk.Options{Kind: disk.Ext4})
	if err != nil {
		return err
	}
	if err := d.Stall(); err != nil {
		return err
	}
	for range 4 {
		go func() { _ = os.WriteFile(filepath.Join(d.Path(), "f"), []byte("x"), 0o600) }()
	}
	fmt.Println("ready", d.Path())
	select {}
}

func newDisk(t *testing.T, options disk.Options) *disk.Disk {
	t.Helper()
	d, err := disk.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
		wantGone(t, d.Path())
	})
	return d
}

func mounted(t *testing.T, path string) bool {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(mounts), path)
}

func wantGone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) || mounted(t, path) {
		t.Errorf("%s is left: %v", path, err)
	}
}

func write(d *disk.Disk, name string, size int) error {
	f, err := os.Create(filepath.Join(d.Path(), name))
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, size))
	return errors.Join(err, f.Sync(), f.Close())
}

var kinds = map[string]disk.Kind{"tmpfs": disk.Tmpfs, "ext4": disk.Ext4}

func TestDiskIsFullUntilItIsEmptied(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds {
		d := newDisk(t, disk.Options{Kind: kind})
		if err := write(d, "before", 100_000); err != nil {
			t.Fatal(err)
		}
		if err := d.Fill(0); err != nil {
			t.Fatal(err)
		}
		if err := write(d, "during", 100_000); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: a write to a full disk: %v", name, err)
		}
		if err := d.Fill(1 << 20); err != nil {
			t.Fatal(err)
		}
		if err := write(d, "small", 500_000); err != nil {
			t.Errorf("%s: there is room for a megabyte: %v", name, err)
		}
		if err := write(d, "large", 1<<20); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: there is room for half a megabyte: %v", name, err)
		}
		for range 2 {
			if err := d.Empty(); err != nil {
				t.Fatal(err)
			}
		}
		if err := write(d, "after", 1<<20); err != nil {
			t.Errorf("%s: after emptying: %v", name, err)
		}
	}
}

func TestStoreOnAStalledDiskWaitsAndLosesNothing(t *testing.T) {
	t.Parallel()
	d := newDisk(t, disk.Options{Kind: disk.Ext4})
	st, err := boltstore.Open(filepath.Join(d.Path(), "store.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	claim := func(key byte) error {
		_, won, err := st.Claim(context.Background(), store.Claim{
			Key: store.Key{key}, Method: "m", CallID: "c", Fingerprint: store.Fingerprint{1}, Lease: time.Minute, Retention: time.Hour,
		})
		if err == nil && !won {
			return errors.New("not won")
		}
		return err
	}
	if err := claim(1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Stall(); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() { done <- claim(2) }()
	select {
	case err := <-done:
		t.Errorf("a claim ended on a disk that is stopped: %v", err)
		done <- err
	case <-time.After(200 * time.Millisecond):
	}
	if err := d.Resume(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("after the disk has resumed: %v", err)
		}
	case <-time.After(patience.Soon):
		t.Fatal("the claim still waits")
	}
}

// A write may be later still on a busy machine; that one of them waits out half a
// pause is what the pauses must bring.
func TestSlowDiskHoldsWritesBack(t *testing.T) {
	t.Parallel()
	const pause = 60 * time.Millisecond
	d := newDisk(t, disk.Options{Kind: disk.Ext4})
	if err := d.Slow(pause); err != nil {
		t.Fatal(err)
	}
	var longest time.Duration
	for late := time.Now().Add(patience.Soon); (d.Pauses() < 5 || longest < pause/2) && time.Now().Before(late); {
		began := time.Now()
		if err := write(d, "f", 5000); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, time.Since(began))
	}
	if longest < pause/2 {
		t.Errorf("the longest write took %v; want at least %v", longest, pause/2)
	}
	if err := d.Resume(); err != nil {
		t.Fatal(err)
	}
	pauses := d.Pauses()
	for range 20 {
		if err := write(d, "f", 5000); err != nil {
			t.Fatal(err)
		}
	}
	if d.Pauses() != pauses {
		t.Error("the disk pauses after it has resumed")
	}
}

func TestClosingEndsAStop(t *testing.T) {
	t.Parallel()
	for _, stop := range []func(*disk.Disk) error{
		(*disk.Disk).Stall,
		func(d *disk.Disk) error { return d.Slow(time.Hour) },
	} {
		d := newDisk(t, disk.Options{Kind: disk.Ext4})
		if err := stop(d); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if d.Stall() == nil || d.Slow(1) == nil || d.Resume() == nil {
			t.Error("a closed disk can be stopped")
		}
	}
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	for _, options := range []disk.Options{{Size: 1}, {Size: 1 << 20, Kind: disk.Ext4}} {
		if d, err := disk.New(options); err == nil {
			_ = d.Close()
			t.Errorf("made a disk of %+v", options)
		}
	}
	d := newDisk(t, disk.Options{})
	if err := errors.Join(d.Stall()); !errors.Is(err, disk.ErrNoStop) {
		t.Errorf("stopped a tmpfs: %v", err)
	}
	// This binary, without privileges.
	cmd := exec.Command("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--reuid", "65534", "--clear-groups", os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"=stall", "TMPDIR=/tmp")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "disk: a disk of a test's own needs") {
		t.Errorf("without privileges: %v, %s", err, out)
	}
}

func TestNothingIsLeftOfAKilledTestThatHangsOnItsDisk(t *testing.T) {
	t.Parallel()
	var path string
	p, err := proc.Start(t.Context(), proc.Options{
		Path: os.Args[0], Env: []string{envRole + "=stall"},
		ReadyWhen: func(line string) (ok bool) {
			path, ok = strings.CutPrefix(line, "ready ")
			return ok
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if !mounted(t, path) {
		t.Fatalf("%s is not mounted before the kill", path)
	}
	p.Kill() // comes back when the guard has ended the stop
	patience.Eventually(t, "nothing is left", func() bool { return !mounted(t, path) && !exists(filepath.Dir(path)) })
	wantGone(t, path)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
