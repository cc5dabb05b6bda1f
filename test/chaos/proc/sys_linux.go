package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// attributes make a child the leader of a group, and have the kernel kill it when
// the thread that started it ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitEnd waits until the process has ended, ends what is left of its group, whose number is
// the process's own as long as that is not reaped, and reaps the process.
func (in *incarnation) awaitEnd() {
	awaitZombie(in.pid)
	in.reaping.Lock()
	defer in.reaping.Unlock()
	_ = signalGroup(in.pid, os.Kill)
	_ = in.cmd.Wait() // how it ended is in its state
	in.reaped = true
}

// awaitZombie waits until a child has ended, and leaves it to be reaped.
func awaitZombie(pid int) {
	const (
		byPID     = 1          // P_PID
		exited    = 0x4        // WEXITED
		leaveIt   = 0x01000000 // WNOWAIT
		infoBytes = 128        // sizeof(siginfo_t)
	)
	var info [infoBytes]byte
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid), uintptr(unsafe.Pointer(&info)), exited|leaveIt, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}

// isFrozen reports whether all threads of a process are stopped by a signal.
func isFrozen(pid int) bool {
	tasks := "/proc/" + strconv.Itoa(pid) + "/task/"
	threads, err := os.ReadDir(tasks)
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(tasks + thread.Name() + "/stat")
		// The state follows the command's name, which is in parentheses and may hold some.
		if _, state, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" ")); err != nil || !ok || state[0] != 'T' {
			return false
		}
	}
	return true
}

// usage counts a process's open descriptors and its resident bytes.
func usage(pid int) (descriptors int, rss uint64, err error) {
	folder := "/proc/" + strconv.Itoa(pid)
	open, err := os.ReadDir(folder + "/fd")
	if err != nil {
		return 0, 0, fmt.Errorf("proc: sample: %w", err)
	}
	memory, err := os.ReadFile(folder + "/statm")
	if err != nil {
		return 0, 0, fmt.Errorf("proc: sample: %w", err)
	}
	fields := strings.Fields(string(memory))
	if len(fields) < 2 {
		return 0, 0, errors.New("proc: sample: the process is ending")
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	return len(open), pages * uint64(os.Getpagesize()), err
}
