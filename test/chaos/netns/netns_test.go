package netns_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/netns"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/chaos/proxy"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

const envRole = "NETNS_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(envRole) != "" {
		pair, err := netns.New()
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready", inode(pair.A), inode(pair.B))
		select {}
	}
	os.Exit(rabbit.Main(m, func() error { return goleak.Find() }))
}

// inode names a namespace as /proc does.
func inode(n *netns.Namespace) (name string) {
	_ = n.Do(func() error {
		name, _ = os.Readlink("/proc/thread-self/ns/net")
		return nil
	})
	return name
}

// inUse counts the processes whose main thread is in a namespace.
func inUse(t *testing.T, name string) (n int) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if target, err := os.Readlink(l); err == nil && target == name {
			n++
		}
	}
	return n
}

func newPair(t *testing.T) *netns.Pair {
	t.Helper()
	pair, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(pair.Close(), pair.Close()); err != nil {
			t.Error(err)
		}
	})
	return pair
}

// connected is a TCP connection from A to B.
func connected(t *testing.T, pair *netns.Pair) (a, b net.Conn) {
	t.Helper()
	l, err := pair.B.Listen("tcp", pair.B.Addr()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience.Soon)
	defer cancel()
	if a, err = pair.A.Dial(ctx, "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{a, b} {
		t.Cleanup(func() { _ = c.Close() })
	}
	return a, b
}

func hears(t *testing.T, from, to net.Conn, wait time.Duration) bool {
	t.Helper()
	if _, err := io.WriteString(from, "x"); err != nil {
		t.Fatal(err) // a partition tells nobody
	}
	_ = to.SetReadDeadline(time.Now().Add(wait))
	n, err := to.Read(make([]byte, 1))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return n == 1
}

func TestPartitionLosesPacketsAndHealsWithoutLoss(t *testing.T) {
	t.Parallel()
	pair := newPair(t)
	a, b := connected(t, pair)
	if !hears(t, a, b, patience.Soon) || !hears(t, b, a, patience.Soon) {
		t.Fatal("the wire does not carry")
	}
	for _, direction := range []netns.Direction{netns.Both, netns.AToB} {
		for range 2 {
			if err := pair.Partition(direction); err != nil {
				t.Fatal(err)
			}
		}
		if hears(t, a, b, 150*time.Millisecond) {
			t.Error("a packet came through a partition")
		}
		if err := pair.Heal(direction); err != nil {
			t.Fatal(err)
		}
		_ = b.SetReadDeadline(time.Now().Add(patience.Soon))
		if _, err := b.Read(make([]byte, 1)); err != nil { // retransmitted
			t.Errorf("after healing: %v", err)
		}
	}
}

func TestOneDirectionAloneIsLost(t *testing.T) {
	t.Parallel()
	pair := newPair(t)
	b, err := newPacketConn(pair.B)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := newPacketConn(pair.A)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := pair.Partition(netns.BToA); err != nil {
		t.Fatal(err)
	}
	for _, way := range []struct {
		from, to net.PacketConn
		arrives  bool
	}{{a, b, true}, {b, a, false}} {
		// A datagram may be lost without a partition, as while the link comes up.
		arrives := func() bool {
			if _, err := way.from.WriteTo([]byte("x"), way.to.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			_ = way.to.SetReadDeadline(time.Now().Add(150 * time.Millisecond))
			n, _, _ := way.to.ReadFrom(make([]byte, 1))
			return n == 1
		}
		if way.arrives {
			patience.Eventually(t, "a datagram arrives", arrives)
		} else if arrives() {
			t.Errorf("a datagram from %s came through a partition", way.from.LocalAddr())
		}
	}
}

func newPacketConn(n *netns.Namespace) (conn net.PacketConn, err error) {
	err = n.Do(func() error {
		conn, err = net.ListenPacket("udp", n.Addr()+":0")
		return err
	})
	return conn, err
}

func TestNamespaceIsApartFromTheHost(t *testing.T) {
	t.Parallel()
	before := hostNetwork(t)
	pair := newPair(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if c, err := pair.A.Dial(t.Context(), "tcp", l.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("the host's loopback is reached from inside")
	}
	if after := hostNetwork(t); after != before {
		t.Errorf("the host's interfaces and routes were\n%s\nand are\n%s", before, after)
	}
	host, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil || inode(pair.A) == host || inode(pair.A) == inode(pair.B) {
		t.Errorf("namespaces %s and %s, of the host %s, %v", inode(pair.A), inode(pair.B), host, err)
	}
}

func hostNetwork(t *testing.T) string {
	t.Helper()
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	routes, err := os.ReadFile("/proc/thread-self/net/route") // the first thread may be in a test's namespace just now
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(interfaces, string(routes))
}

func TestCloseAndKillLeaveNoNamespace(t *testing.T) {
	t.Parallel()
	ready := make(chan string, 1)
	p, err := proc.Start(t.Context(), proc.Options{
		Path: os.Args[0], Env: []string{envRole + "=pair"}, Ready: "ready",
		OnLine: func(line string) { ready <- line },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	names := strings.Fields(<-ready)[1:]
	// A name is an inode number, which is given to another namespace once it is free.
	p.Kill()
	for _, name := range names {
		if n := inUse(t, name); n != 0 {
			t.Errorf("%d threads are in %s", n, name)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(string(mounts), name) {
			t.Errorf("%s is mounted", name)
		}
	}
}

func TestProcessStartedWithinLivesThere(t *testing.T) {
	t.Parallel()
	pair := newPair(t)
	var out []byte
	err := pair.B.Do(func() (err error) {
		out, err = exec.Command("readlink", "/proc/self/ns/net").Output()
		return err
	})
	if got := strings.TrimSpace(string(out)); err != nil || got != inode(pair.B) {
		t.Errorf("a process of Do is in %q, %v; want %s", got, err, inode(pair.B))
	}
	p, err := proc.Start(t.Context(), proc.Options{Path: "sleep", Args: []string{"1000"}, Enter: pair.A.Do})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if got, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", p.PID())); err != nil || got != inode(pair.A) {
		t.Errorf("a process that entered is in %q, %v; want %s", got, err, inode(pair.A))
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"root", "iproute2", "CAP_NET_ADMIN"} {
		if !strings.Contains(netns.ErrNotPermitted.Error(), word) {
			t.Errorf("the error does not name %s", word)
		}
	}
	// This binary, without privileges.
	cmd := exec.Command("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--reuid", "65534", "--clear-groups", os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"=pair")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "netns: network namespaces need") {
		t.Errorf("without privileges: %v, %s", err, out)
	}
}

// The client is in one namespace, and the broker's address in the other.
func TestClientSurvivesARealPartition(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	rig.StartServer(t, server.Config{Broker: warren.Broker{URLs: []string{url}}}, func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "echo", Queue: server.Queue{Type: server.Classic}}, rig.Echo)
	})

	pair := newPair(t)
	l, err := pair.B.Listen("tcp", pair.B.Addr()+":0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := proxy.New(rabbit.Shared(t).Addr(), proxy.Options{Listener: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	c, err := client.New(client.Config{
		Broker: warren.Broker{URLs: []string{p.URL(url)}, Dial: pair.A.Dial, Heartbeat: time.Second, DialTimeout: 2 * time.Second},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	call := func(timeout time.Duration) error {
		_, err := c.Call(t.Context(), "echo", []byte("x"), client.Idempotent(), client.WithTimeout(timeout))
		return err
	}
	if err := call(patience.Soon); err != nil {
		t.Fatal(err)
	}
	if err := pair.Partition(netns.Both); err != nil {
		t.Fatal(err)
	}
	if err := call(300 * time.Millisecond); err == nil {
		t.Error("a call was answered through a partition")
	}
	if err := pair.Heal(netns.Both); err != nil {
		t.Fatal(err)
	}
	if err := call(patience.Soon); err != nil {
		t.Errorf("after healing: %v", err)
	}
}
