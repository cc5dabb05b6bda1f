package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/warren-rpc/warren/test/chaos/internal/guard"
)

// ErrNotPermitted is returned (wrapped) by New if the machine does not let this
// process mount a disk, or lacks a tool. Its text says what is needed.
var ErrNotPermitted = errors.New("disk: a disk of a test's own needs Linux, root (CAP_SYS_ADMIN), for Ext4 a free loop " +
	"device, and the programs mount, fsfreeze and mkfs.ext4: as root " +
	"`apt-get install -y --no-install-recommends mount util-linux e2fsprogs`")

// ErrNoStop is the answer of Stall and Slow on a kind of disk that cannot stop.
var ErrNoStop = errors.New("disk: only a disk of the kind Ext4 can be stopped or slowed")

// Kind is what a disk is made of.
type Kind int

// The kinds.
const (
	// Tmpfs is in memory: quick to make, and its fsync does nothing. It can be filled.
	Tmpfs Kind = iota
	// Ext4 is on a loop device over a file in the folder for temporary files. It can
	// be filled, stopped and slowed, and its fsync is that of a disk.
	Ext4
)

// Options configures a disk.
type Options struct {
	// Size is that of the disk in bytes, of which the file system takes some.
	// Default: 16 MiB; at least 1 MiB, for Ext4 8 MiB.
	Size int64
	Kind Kind // Default: Tmpfs.
}

// ballast is the file on the disk that Fill writes.
const ballast = ".ballast"

// Disk is a mounted disk. All methods are safe for concurrent use.
type Disk struct {
	kind  Kind
	mount string
	guard *guard.Guard
	root  *os.File // of the file system; nil for Tmpfs

	mu      sync.Mutex // of what follows, and of stops and resumptions
	stopped bool
	closed  bool
	endSlow context.CancelFunc // nil: not slowed
	slowing sync.WaitGroup
	slowErr error

	pauses atomic.Int64
}

// resume ends a stop of the disk that is mounted on $1.
const resume = `
fsfreeze --unfreeze "$1" 2>/dev/null
`

// unmount lets go of the disk on $1, whose folder is $2. One that is still in use
// vanishes with its last open file.
const unmount = resume + `
tries=0
while grep -qF " $1 " /proc/self/mounts; do
	tries=$((tries + 1))
	[ $tries -gt 100 ] && exit 1
	umount "$1" 2>/dev/null || umount -l "$1" || sleep 0.1
done
rm -f -- "$2/image"
rmdir -- "$1" "$2"
`

// New makes and mounts a disk. Close unmounts it.
func New(options Options) (*Disk, error) {
	if !supported {
		return nil, ErrNotPermitted
	}
	if options.Size == 0 {
		options.Size = 16 << 20
	}
	least := int64(1 << 20)
	if options.Kind == Ext4 {
		least = 8 << 20
	}
	if options.Size < least {
		return nil, fmt.Errorf("disk: Options.Size must be at least %d bytes", least)
	}
	folder, err := os.MkdirTemp("", "warren-disk-")
	if err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	// The list of mounts has paths without links, and blanks written otherwise.
	if folder, err = filepath.EvalSymlinks(folder); err != nil || strings.ContainsAny(folder, " \t\n\\") {
		return nil, errors.Join(fmt.Errorf("disk: the folder for temporary files cannot be mounted on: %q", folder), err)
	}
	d := &Disk{kind: options.Kind, mount: filepath.Join(folder, "disk")}
	if err := os.Mkdir(d.mount, 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("disk: %w", err), os.Remove(folder))
	}
	if d.guard, err = guard.StartWatch(resume, unmount, d.mount, folder); err != nil {
		return nil, errors.Join(err, os.Remove(d.mount), os.Remove(folder))
	}
	if err := d.make(filepath.Join(folder, "image"), options.Size); err != nil {
		return nil, errors.Join(err, d.guard.Run())
	}
	return d, nil
}

func (d *Disk) make(image string, size int64) error {
	if d.kind == Tmpfs {
		return run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d,mode=0700,nosuid,nodev", size), "warren-disk", d.mount)
	}
	f, err := os.OpenFile(image, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	// No room is kept for root, who is the one that writes.
	if err := run("mkfs.ext4", "-q", "-F", "-m", "0", image); err != nil {
		return err
	}
	if err := run("mount", "-t", "ext4", "-o", "loop,nosuid,nodev", image, d.mount); err != nil {
		return err
	}
	if d.root, err = os.Open(d.mount); err != nil {
		return fmt.Errorf("disk: %w", err)
	}
	return nil
}

// run runs a system's tool, in the folders where an ordinary PATH may not look.
func run(name string, args ...string) error {
	cmd := exec.Command("/bin/sh", append([]string{"-c", `exec "$0" "$@"`, name}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w (%s: %w: %s)", ErrNotPermitted, name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Path is the folder that the disk is mounted on.
func (d *Disk) Path() string { return d.mount }

// Fill takes all room on the disk but so many bytes, rounded down to what the
// file system allots at a time: writes fail with ENOSPC from then on. What was
// taken before is given back first.
func (d *Disk) Fill(leave int64) error {
	if err := d.Empty(); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(d.mount, ballast), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("disk: fill: %w", err)
	}
	defer f.Close()
	var size int64
	for step := int64(1 << 30); step > 0; {
		switch err := allot(f, size, step); {
		case err == nil:
			size += step
		case errors.Is(err, syscall.ENOSPC):
			step /= 2
		case !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("disk: fill: %w", err)
		}
	}
	if leave > 0 {
		if err := f.Truncate(max(0, size-leave)); err != nil {
			return fmt.Errorf("disk: fill: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("disk: fill: %w", err)
	}
	return nil
}

// Empty gives back what Fill has taken. Other files stay.
func (d *Disk) Empty() error {
	err := os.Remove(filepath.Join(d.mount, ballast))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("disk: empty: %w", err)
	}
	return nil
}

// Close ends a stop, unmounts the disk and removes it with all that is on it. Open
// files stay usable until they are closed. It is legal more than once.
func (d *Disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	err := d.calm()
	if d.root != nil {
		err = errors.Join(err, d.root.Close())
	}
	return errors.Join(err, d.guard.Run())
}
