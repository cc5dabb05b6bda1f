package rabbit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/warren-rpc/warren/test/internal/private"
)

// errPortTaken marks a boot that failed because a port was no longer free.
var errPortTaken = errors.New("a port of the node is taken")

// portTaken finds in a node's log that its AMQP port, or its distribution port,
// was taken.
var portTaken = regexp.MustCompile(`eaddrinuse|ERROR: .*port .* in use`)

// serverPlaces are the scripts that keep their environment: of Debian, of the
// generic archive as the Docker image has it, and of Homebrew on Linux.
var serverPlaces = []string{
	"/usr/lib/rabbitmq/bin/rabbitmq-server",
	"/opt/rabbitmq/sbin/rabbitmq-server",
	"/home/linuxbrew/.linuxbrew/opt/rabbitmq/sbin/rabbitmq-server",
}

func findServer(given string) (string, error) {
	if given != "" {
		if _, err := os.Stat(given); err != nil {
			return "", fmt.Errorf("rabbit: Options.Server: %w", err)
		}
		return given, nil
	}
	for _, place := range serverPlaces {
		if _, err := os.Stat(place); err == nil {
			return place, nil
		}
	}
	return "", ErrNotInstalled
}

// prepare makes what the node needs before its first process: the folder with
// its guard, the ports, the files.
func (n *Node) prepare() error {
	dir, err := os.MkdirTemp("", "warren-rabbit-")
	if err != nil {
		return fmt.Errorf("rabbit: %w", err)
	}
	n.dir = dir
	n.name = fmt.Sprintf("warren-%d-%08x@localhost", os.Getpid(), rand.Uint32())
	n.control = &control{path: filepath.Join(dir, "control")}
	if most := 107; len(n.control.path) > most {
		return fmt.Errorf("rabbit: TMPDIR is too long for a Unix socket: %s has more than %d bytes", n.control.path, most)
	}
	if n.watchdog, err = private.StartWatchdog(private.Watch{Folder: dir, Keep: n.options.Keep}); err != nil {
		return err
	}
	ports := []**private.Port{&n.amqp, &n.dist}
	if slices.Contains(n.options.Plugins, ManagementPlugin) {
		ports = append(ports, &n.management)
	}
	for _, p := range ports {
		if *p, err = private.ReservePort(); err != nil {
			return err
		}
	}
	if err := n.family.join(n); err != nil {
		return err
	}
	config := append([]string{"listeners.tcp.local = " + n.Addr()}, n.family.discovery(n)...)
	if n.management != nil {
		config = append(config, "management.tcp.ip = 127.0.0.1", "management.tcp.port = "+n.management.String())
	}
	config = append(config, n.options.Config...)
	files := map[string][]byte{
		"rabbitmq.conf":   []byte(strings.Join(config, "\n") + "\n"),
		"enabled_plugins": []byte("[" + strings.Join(n.options.Plugins, ",") + "].\n"),
		"env.conf":        nil,
		"advanced.config": []byte("[].\n"),
		"control.erl":     controlScript,
		// Without one, Erlang makes a cookie of the time of day.
		".erlang.cookie": n.family.cookie,
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o400); err != nil {
			return fmt.Errorf("rabbit: %w", err)
		}
	}
	return nil
}

// environment is what the node's processes see: nothing of ERL_* or RABBITMQ_*
// from outside may leak in and tie the node to another broker's files.
func (n *Node) environment() []string {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/bin:/usr/bin:/bin"
	}
	in := func(name string) string { return filepath.Join(n.dir, name) }
	return []string{
		private.Marker + "=" + n.dir,
		"PATH=" + path,
		"LANG=C.UTF-8",
		"TMPDIR=" + n.dir,
		"HOME=" + n.dir, // of the cookie
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"ERL_EPMD_PORT=" + n.family.names.String(),
		"ERL_CRASH_DUMP_SECONDS=0",
		"RABBITMQ_NODENAME=" + n.name,
		"RABBITMQ_DIST_PORT=" + n.dist.String(),
		"RABBITMQ_MNESIA_BASE=" + in("data"),
		"RABBITMQ_LOG_BASE=" + in("log"),
		"RABBITMQ_LOGS=-", // standard output, which is a file: one log, also of a boot that fails
		"RABBITMQ_CONFIG_FILE=" + in("rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + in("advanced.config"),
		"RABBITMQ_CONF_ENV_FILE=" + in("env.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + in("enabled_plugins"),
		"RABBITMQ_PID_FILE=" + in("pid"),
		// The script then becomes the Erlang VM instead of its parent, so that the
		// child of this process is the broker itself.
		"RUNNING_UNDER_SYSTEMD=1",
		// Bound schedulers of several nodes would crowd onto the same cores.
		"RABBITMQ_SCHEDULER_BIND_TYPE=u",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=" + strings.Join([]string{
			fmt.Sprintf("+S %d:%[1]d", n.schedulers()),
			"-kernel inet_dist_use_interface {127,0,0,1}",
			`-eval ok=file:eval("control.erl").`,
		}, " "),
	}
}

// boot starts the broker and returns when it accepts connections. If that
// fails, the broker is not running. The caller holds turn, or is Start.
func (n *Node) boot(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	defer context.AfterFunc(n.life, cancel)()

	if err := n.family.startEpmd(ctx); err != nil {
		return err
	}
	// The last broker's socket: without this, an answer could seem to come from it.
	n.control.reset()
	if err := os.Remove(n.control.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("rabbit: %w", err)
	}
	cmd := exec.Command(n.server)
	cmd.Dir, cmd.Env = n.dir, n.environment()
	beam, err := private.Launch(cmd, n.logPath())
	if err != nil {
		return fmt.Errorf("rabbit: start the node: %w", err)
	}
	n.mu.Lock()
	n.beam = beam
	n.mu.Unlock()

	err = private.Poll(ctx, func() (bool, error) {
		if !beam.Running() {
			return false, errors.New("it ended")
		}
		// Another program that has epmd's port can be taken for epmd, until epmd
		// finds that it cannot have it. The broker would wait for long.
		if !n.family.epmdRuns() {
			return false, errPortTaken
		}
		return n.ready(ctx), nil
	})
	if err != nil {
		beam.Kill()
		if portTaken.MatchString(n.Log()) {
			err = errPortTaken
		}
		return fmt.Errorf("rabbit: the node did not start: %w; the end of its log:\n%s", err, n.logTail())
	}
	n.logf("rabbit: %s (process %d) accepts connections on %s after %v",
		n.name, beam.PID(), n.Addr(), time.Since(began).Round(time.Millisecond))
	return nil
}

// ready reports whether the broker has finished its boot: its control socket,
// opened last of all, says so, the management API, if there is one, accepts
// connections, and it greets an AMQP client. In this order, since every greeting that is not answered is a warning in the broker's log.
func (n *Node) ready(ctx context.Context) bool {
	answer, err := n.control.eval(ctx, "rabbit:is_running().")
	if err != nil || string(answer) != "true" {
		return false
	}
	if n.management != nil {
		conn, err := net.Dial("tcp", n.management.Addr())
		if err != nil {
			return false
		}
		_ = conn.Close()
	}
	conn, err := net.Dial("tcp", n.Addr())
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return false
	}
	// A method frame (1) whose method is connection.start (10, 10).
	var greeting [11]byte
	_, err = io.ReadFull(conn, greeting[:])
	return err == nil && greeting[0] == 1 && greeting[8] == 10 && greeting[10] == 10
}
