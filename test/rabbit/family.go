package rabbit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/warren-rpc/warren/test/internal/private"
)

// family is what the nodes of one cluster have in common, and a node that is
// alone has to itself: the port mapper and the cookie. The first node that joins
// is its head: epmd lives in that node's folder and ends when that node is closed.
// A kill of the head's broker leaves epmd alone.
type family struct {
	cookie []byte

	mu    sync.Mutex
	head  *Node
	names *private.Port    // epmd's
	epmd  *private.Process // nil until it is first started
}

func newFamily() *family {
	return &family{cookie: fmt.Appendf(nil, "%016x%016x", rand.Uint64(), rand.Uint64())}
}

func (f *family) join(n *Node) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head != nil {
		return nil
	}
	names, err := private.ReservePort()
	if err != nil {
		return err
	}
	f.head, f.names = n, names
	return nil
}

// leave reaps epmd, which the head's watchdog has ended.
func (f *family) leave(n *Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head != n {
		return
	}
	f.epmd.Wait()
	f.names.Release()
}

// discovery is the configuration by which a node that is not the head joins the
// head's cluster when it first boots. The node itself must be listed: the lock
// that keeps two nodes from joining at a time is taken on all that are.
func (f *family) discovery(n *Node) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.head == n {
		return nil
	}
	return []string{
		"cluster_formation.peer_discovery_backend = classic_config",
		"cluster_formation.classic_config.nodes.1 = " + f.head.name,
		"cluster_formation.classic_config.nodes.2 = " + n.name,
	}
}

// startEpmd runs the port mapper in the foreground unless it runs already, since
// one that Erlang starts for itself becomes a daemon that stays.
func (f *family) startEpmd(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epmd.Running() {
		return nil
	}
	program, err := exec.LookPath("epmd")
	if err != nil {
		return fmt.Errorf("%w (epmd is missing)", ErrNotInstalled)
	}
	cmd := exec.Command(program)
	cmd.Dir, cmd.Env = f.head.dir, f.head.environment()
	epmd, err := private.Launch(cmd, filepath.Join(f.head.dir, "epmd.log"))
	if err != nil {
		return fmt.Errorf("rabbit: start epmd: %w", err)
	}
	f.epmd = epmd
	return private.Poll(ctx, func() (bool, error) {
		if !epmd.Running() {
			return false, fmt.Errorf("rabbit: epmd ended at once: %w", errPortTaken)
		}
		conn, err := net.Dial("tcp", f.names.Addr())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil, nil
	})
}

func (f *family) epmdRuns() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.epmd.Running()
}
