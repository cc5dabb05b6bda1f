package redisstore

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warren-rpc/warren/test/patience"
)

// server is a private Redis on a free port of the loopback interface.
type server struct {
	dir, addr string
	config    []string
	cmd       *exec.Cmd
	output    *bytes.Buffer
}

// startServer starts a Redis with that configuration, in pairs of name and value. It ends
// with the test.
func startServer(tb testing.TB, config ...string) *server {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	s := &server{dir: tb.TempDir(), addr: addr, config: config}
	s.start(tb)
	tb.Cleanup(func() { s.kill(tb) })
	return s
}

func (s *server) start(tb testing.TB) {
	tb.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	args := []string{"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--daemonize", "no"}
	for i := 0; i+1 < len(s.config); i += 2 {
		args = append(args, "--"+s.config[i], s.config[i+1])
	}
	s.cmd, s.output = exec.Command("redis-server", args...), new(bytes.Buffer) //nolint:gosec // fixed arguments
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		tb.Fatalf("redis-server: %v; get it with scripts/deps.sh", err)
	}
	client := s.client()
	defer client.Close()
	for deadline := time.Now().Add(patience.Soon); client.Ping(context.Background()).Err() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("redis-server does not answer:\n%s", s.output)
		}
	}
}

func (s *server) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: 1})
}

// kill ends the process as kill -9 does.
func (s *server) kill(tb testing.TB) {
	tb.Helper()
	if s.cmd.ProcessState != nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it was killed
}

func (s *server) signal(tb testing.TB, signal os.Signal) {
	tb.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		tb.Fatal(err)
	}
}

// do sends a command, given in words.
func (s *server) do(tb testing.TB, command string) string {
	tb.Helper()
	client := s.client()
	defer client.Close()
	var args []any
	for word := range strings.FieldsSeq(command) {
		args = append(args, word)
	}
	reply, err := client.Do(context.Background(), args...).Result()
	if err != nil {
		tb.Fatalf("%s: %v", command, err)
	}
	return fmt.Sprint(reply)
}

// replicate makes s a replica of another, and waits until it has its data.
func (s *server) replicate(tb testing.TB, of *server) {
	tb.Helper()
	host, port, _ := net.SplitHostPort(of.addr)
	s.do(tb, "replicaof "+host+" "+port)
	patience.Eventually(tb, "the replica is in step", func() bool {
		return strings.Contains(s.do(tb, "info replication"), "master_link_status:up")
	})
}

var shared struct {
	sync.Mutex
	servers map[string]*server
	number  int
}

// prefix returns one that no other test has.
func prefix() string {
	shared.Lock()
	defer shared.Unlock()
	shared.number++
	return "test-" + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(shared.number)
}
