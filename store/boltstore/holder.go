package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The lock of the file does not say who has it, so its holder leaves a note beside
// it. The note counts only while the file is locked and the process that wrote it
// lives: one that was killed leaves it behind.

func holderPath(path string) string { return path + ".holder" }

// writeHolder leaves a note of this process. Without one the store works as well. It
// replaces what is there, and follows no link, which would lead to somebody's file.
func writeHolder(path string) {
	note, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.holder") // with the mode 0600
	if err != nil {
		return
	}
	pid := os.Getpid()
	_, err = fmt.Fprintf(note, "%d %s %s\n", pid, time.Now().UTC().Format(time.RFC3339), born(pid))
	if err = errors.Join(err, note.Close()); err == nil {
		err = os.Rename(note.Name(), holderPath(path)) //nolint:gosec // the path is the caller's
	}
	if err != nil {
		_ = os.Remove(note.Name()) //nolint:gosec // it was made here
	}
}

func removeHolder(path string) { _ = os.Remove(holderPath(path)) }

// readHolder returns who wrote the note, or "" if that process has ended, or nobody
// knows.
func readHolder(path string) string {
	// What is no file might keep its reader waiting for ever.
	if info, err := os.Lstat(holderPath(path)); err != nil || !info.Mode().IsRegular() || info.Size() > 1<<10 { //nolint:gosec // the path is the caller's
		return ""
	}
	b, err := os.ReadFile(holderPath(path)) //nolint:gosec // the path is the caller's
	if err != nil {
		return ""
	}
	var pid int
	var since, birth string
	if n, _ := fmt.Sscanf(string(b), "%d %s %s", &pid, &since, &birth); n < 3 || pid <= 0 || born(pid) != birth {
		return ""
	}
	if _, err := time.Parse(time.RFC3339, since); err != nil {
		return ""
	}
	if p, err := os.FindProcess(pid); err != nil || p.Signal(syscall.Signal(0)) != nil {
		return ""
	}
	return fmt.Sprintf("process %d, since %s", pid, since)
}

// born tells a process from a later one with the same number, by when it began, in
// ticks since the machine did; "?" where the system does not say.
func born(pid int) string {
	const unknown = "?"
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return unknown
	}
	// The second field, the name, is in brackets and may have any character in it.
	_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	fields := strings.Fields(rest)
	const began = 22 - 3 // the rest begins with the third field
	if len(fields) <= began {
		return unknown
	}
	return fields[began]
}
