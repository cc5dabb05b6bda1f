package private

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// Marker is the name of the environment variable by which a server's processes are
// found. Process groups would miss some: the Erlang VM and PostgreSQL give their
// children sessions of their own. The environment is inherited by all of them.
const Marker = "WARREN_PRIVATE_SERVER"

// watchdogScript waits for the end of its standard input, which is the death of
// the process that holds the other end, or Finish. Then it kills what bears the
// marker $1, or has a working directory that matches $2, until nothing does, runs
// the script $3, and removes the folder $4 unless that is empty. The bound is there
// for a process that the kernel cannot end.
const watchdogScript = `
trap '' HUP INT TERM
while read -r _; do :; done
members() {
	grep -lzxF -e "$1" /proc/[0-9]*/environ
	[ -z "$2" ] || find /proc/[0-9]*/cwd -maxdepth 0 -lname "$2"
}
tries=0
while pids=$(members "$1" "$2" 2>/dev/null | cut -d/ -f3); [ -n "$pids" ]; do
	tries=$((tries + 1))
	[ $tries -gt 400 ] && exit 1
	kill -KILL $pids 2>/dev/null
	sleep 0.02
done
eval "$3"
[ -z "$4" ] || rm -rf -- "$4"
`

// Watch says what a watchdog does.
type Watch struct {
	Folder string // of the server: the marker's value, and what is removed
	Keep   bool   // the folder is left alone

	// Data, unless empty, is a working directory that only processes of the server
	// have: some write their titles over the environment.
	Data string
	// Then is a script of /bin/sh that runs when the processes are gone, with $FOLDER.
	Then string
}

// Watchdog ends every process of a server, both on Finish and after this process
// died by whatever means.
//
// Why not Pdeathsig: the kernel sends it when the forking thread ends, not the
// process, so an unlucky exit of a Go thread would kill the server; it does not
// reach grandchildren; and it removes no folder. A pipe has none of these
// faults. The watchdog is started before anything that it guards and leads a
// process group of its own, so that a terminal's Ctrl-C does not end it first.
type Watchdog struct {
	cmd  *exec.Cmd
	pipe io.Closer
}

// StartWatchdog starts it.
func StartWatchdog(w Watch) (*Watchdog, error) {
	remove := w.Folder
	if w.Keep {
		remove = ""
	}
	data := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(w.Data)
	cmd := exec.Command("/bin/sh", "-c", watchdogScript, "watchdog", Marker+"="+w.Folder, data, w.Then, remove)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "FOLDER=" + w.Folder}
	isolate(cmd)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	return &Watchdog{cmd: cmd, pipe: pipe}, nil
}

// Finish ends the server's processes and returns when they are gone. It is called
// once.
func (w *Watchdog) Finish() error {
	_ = w.pipe.Close()
	// Wait has no context; the script is bounded, so this only guards against a
	// machine that has stopped scheduling it.
	late := time.AfterFunc(time.Minute, func() { _ = w.cmd.Process.Kill() })
	defer late.Stop()
	if err := w.cmd.Wait(); err != nil {
		return errors.New("processes of the server could not be ended: " + err.Error())
	}
	return nil
}
