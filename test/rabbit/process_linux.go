package rabbit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const supported = true

// ownGroup keeps the signals of a terminal (Ctrl-C) away from a child.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func freeze(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

func thaw(p *os.Process) error { return p.Signal(syscall.SIGCONT) }

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

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
			return 0, fmt.Errorf("rabbit: /proc stat: %w", err)
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
		return nil, errors.New("rabbit: " + file + " is too short")
	}
	return fields, nil
}
