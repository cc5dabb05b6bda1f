// Package guard runs a cleanup when its process has ended by whatever means, also
// SIGKILL: a shell in a process group of its own waits for the end of a pipe whose
// other end nobody but this process holds.
package guard

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// wait reads standard input to its end, which is the death of the process that
// holds the other end, or Run. The terminal's signals are not for the guard.
const wait = `
trap '' HUP INT TERM
while read -r _; do :; done
`

// Guard is a cleanup that will run once.
type Guard struct {
	cmd    *exec.Cmd
	pipe   io.Closer
	output *strings.Builder
}

// Start arms the cleanup, a script of /bin/sh that finds args as $1, $2 and so
// on. Start it before that which it cleans up exists.
func Start(script string, args ...string) (*Guard, error) { return start(wait+script, args) }

// StartWatch also has another script run on a death that the pipe does not tell:
// while a thread of a killed process hangs in the kernel, as in a write to a disk
// that has stopped, the process keeps its descriptors.
func StartWatch(onKill, script string, args ...string) (*Guard, error) {
	return start(watch+onKill+watched+wait+"kill $early 2>/dev/null\n"+script, args)
}

// watch looks five times a second whether the parent is a zombie or has the
// signal 9 pending: the third hexadecimal digit from the right is odd.
const watch = `
{
while [ -r /proc/$PPID/status ] && ! grep -qE '^(State:.Z|SigPnd:.*[13579bdf]..$)' /proc/$PPID/status; do
	sleep 0.2
done
`

const watched = `
} >/dev/null 2>&1 &
early=$!
`

func start(script string, args []string) (*Guard, error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "guard"}, args...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.SysProcAttr = ownGroup()
	output := &strings.Builder{}
	cmd.Stderr = output
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	return &Guard{cmd, pipe, output}, nil
}

// Run runs the cleanup now and returns when it has ended, with what it wrote to
// standard error if it failed. It is called once.
func (g *Guard) Run() error {
	_ = g.pipe.Close()
	// Scripts are bounded; this is for a machine that has stopped scheduling them.
	late := time.AfterFunc(time.Minute, func() { _ = g.cmd.Process.Kill() })
	defer late.Stop()
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("guard: %w: %s", err, strings.TrimSpace(g.output.String()))
	}
	return nil
}
