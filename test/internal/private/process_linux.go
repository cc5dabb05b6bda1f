package private

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Supported reports whether private servers can run on this system.
const Supported = true

const (
	stop   = syscall.SIGSTOP
	resume = syscall.SIGCONT
)

// isolate keeps the signals of a terminal (Ctrl-C) away from a child.
func isolate(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

// RunAs makes cmd run as the account.
func RunAs(cmd *exec.Cmd, a Account) {
	if a.root {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
	}
}

// signal sends a signal to a process that need not be a child.
func signal(pid int, s syscall.Signal) error { return syscall.Kill(pid, s) }

// isFrozen reports whether all of a process is stopped by a signal.
func isFrozen(pid int) bool {
	threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return false
	}
	for _, thread := range threads {
		fields, err := statFields("/proc/" + strconv.Itoa(pid) + "/task/" + thread.Name() + "/stat")
		if err != nil || fields[0] != "T" {
			return false
		}
	}
	return true
}

// clockTick is the unit of the times in /proc/PID/stat. USER_HZ is 100 on every
// architecture that Go runs on under Linux.
const clockTick = time.Second / 100

// cpuTime returns the user and system time of all threads of a process.
func cpuTime(pid int) (time.Duration, error) {
	fields, err := statFields("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// statFields returns the fields of a /proc stat file that follow the command's
// name, the state first. The name, in parentheses, may itself hold spaces and
// parentheses.
func statFields(file string) ([]string, error) {
	stat, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return nil, errors.New(file + " is too short")
	}
	return fields, nil
}
