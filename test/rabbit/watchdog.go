package rabbit

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// marker names the environment variable by which a node's processes are found.
// Process groups would miss some: the Erlang VM gives its helpers sessions of
// their own. The environment is inherited by all of them.
const marker = "WARREN_RABBIT_NODE"

// watchdogScript waits for the end of its standard input, which is the death of
// the process that holds the other end, or Close. Then it kills what bears the
// marker $1 until nothing does, and removes the folder $2 unless that is empty.
// The bound is there for a process that the kernel cannot end.
const watchdogScript = `
trap '' HUP INT TERM
while read -r _; do :; done
tries=0
while pids=$(grep -lzxF -e "$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3); [ -n "$pids" ]; do
	tries=$((tries + 1))
	[ $tries -gt 400 ] && exit 1
	kill -KILL $pids 2>/dev/null
	sleep 0.02
done
[ -z "$2" ] || rm -rf -- "$2"
`

// watchdog ends every process of a node, both on Close and after this process
// died by whatever means.
//
// Why not Pdeathsig: the kernel sends it when the forking thread ends, not the
// process, so an unlucky exit of a Go thread would kill the node; it does not
// reach grandchildren; and it removes no folder. A pipe has none of these
// faults. The watchdog is started before anything that it guards and leads a
// process group of its own, so that a terminal's Ctrl-C does not end it first.
type watchdog struct {
	cmd  *exec.Cmd
	pipe io.Closer
}

// startWatchdog guards what bears the marker for folder; with keep, the folder
// itself is left alone.
func startWatchdog(folder string, keep bool) (*watchdog, error) {
	remove := folder
	if keep {
		remove = ""
	}
	cmd := exec.Command("/bin/sh", "-c", watchdogScript, "watchdog", marker+"="+folder, remove)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = ownGroup()
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("rabbit: start the watchdog: %w", err)
	}
	return &watchdog{cmd: cmd, pipe: pipe}, nil
}

// finish ends the node's processes and returns when they are gone.
func (w *watchdog) finish() error {
	_ = w.pipe.Close()
	// Wait has no context; the script is bounded, so this only guards against a
	// machine that has stopped scheduling it.
	late := time.AfterFunc(time.Minute, func() { _ = w.cmd.Process.Kill() })
	defer late.Stop()
	if err := w.cmd.Wait(); err != nil {
		return errors.New("rabbit: processes of the node could not be ended: " + err.Error())
	}
	return nil
}
