//go:build linux

package proc_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// envRole has this test binary be a subprocess, with what the role needs.
const (
	envRole = "PROC_TEST_ROLE"
	envURL  = "PROC_TEST_URL"
	envFile = "PROC_TEST_FILE"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		if err := roles[role](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(rabbit.Main(m, func() error { return goleak.Find() }))
}

var roles = map[string]func() error{
	"plain":  plain,
	"idle":   idle,
	"points": points,
	"brief":  func() error { fmt.Println("ready"); return nil },
	"broken": func() error { return fmt.Errorf("broken") },
	"clan":   clan,
	"parent": parent,
	"server": serve,
	"caller": callOnce,
}

// plain does not call Child, and ends by SIGTERM with code 0.
func plain() error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	fmt.Println("ready")
	<-ctx.Done()
	return nil
}

// idle is under control, has a clock, and does nothing.
func idle() error {
	control, err := proc.Child()
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for range time.Tick(time.Millisecond) {
		fmt.Println("off", time.Until(control.Now()).Round(time.Minute))
	}
	return nil
}

// points passes the crash points of a hundred calls.
func points() error {
	if _, err := proc.Child(); err != nil {
		return err
	}
	fmt.Println("ready")
	for i := range 100 {
		for _, point := range crashpoint.All {
			crashpoint.Reached(point, "m", fmt.Sprint("call-", i+1))
			fmt.Println("passed", point, i+1)
		}
	}
	return nil
}

// clan starts a process that leaves the group.
func clan() error {
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	fmt.Println("ready", cmd.Process.Pid)
	select {}
}

// parent starts processes and is killed.
func parent() error {
	p, err := proc.Start(context.Background(), roleOptions("idle"))
	if err != nil {
		return err
	}
	options := roleOptions("clan")
	lines := make(chan string, 1)
	options.OnLine = func(line string) { lines <- line }
	q, err := proc.Start(context.Background(), options)
	if err != nil {
		return err
	}
	fmt.Println("ready", p.PID(), q.PID(), strings.TrimPrefix(<-lines, "ready "))
	select {}
}

// serve is a Warren server with a store, which writes each effect to a file.
func serve() error {
	control, err := proc.Child()
	if err != nil {
		return err
	}
	folder := os.Getenv(envFile)
	st, err := boltstore.Open(filepath.Join(folder, "store.db"), boltstore.Options{Now: control.Now})
	if err != nil {
		return err
	}
	effects, err := os.OpenFile(filepath.Join(folder, "effects"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s, err := server.New(server.Config{
		Broker: warren.Broker{URLs: []string{os.Getenv(envURL)}}, Store: st, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	err = s.HandleRaw(server.Method{Name: "append"}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
		_, err := effects.WriteString(req.CallID + "\n")
		return &warren.Reply{Body: req.Body}, err
	})
	if err != nil {
		return err
	}
	if err := s.Start(context.Background()); err != nil {
		return err
	}
	fmt.Println("ready")
	select {}
}

// callOnce is a Warren client that makes one call.
func callOnce() error {
	if _, err := proc.Child(); err != nil {
		return err
	}
	c, err := client.New(client.Config{
		Broker: warren.Broker{URLs: []string{os.Getenv(envURL)}}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	_, err = c.Call(context.Background(), "append", nil, client.WithCallID("from-a-process"))
	return err
}

func roleOptions(role string, env ...string) proc.Options {
	return proc.Options{Path: os.Args[0], Env: append(env, envRole+"="+role), Ready: "ready"}
}

func start(t *testing.T, options proc.Options) *proc.Process {
	t.Helper()
	p, err := proc.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func wait(t *testing.T, p *proc.Process) proc.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience.Soon)
	defer cancel()
	exit, err := p.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

// runs reports whether a process exists and is not a zombie.
func runs(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
