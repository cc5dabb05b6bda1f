package interop

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// envServe makes a process of this binary a Warren server at the address that it
// holds. The server dies at the crash point that proc.EnvCrash names.
const envServe = "WARREN_INTEROP_SERVE"

// serveUntilKilled answers numbers with Fibonacci numbers. It returns only an
// error.
func serveUntilKilled(url string) error {
	if _, err := proc.Child(); err != nil {
		return err
	}
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{url}}})
	if err != nil {
		return err
	}
	if err := s.HandleRaw(server.Method{Name: "numbers"}, handleFib); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience.Soon)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	select {}
}

func TestEveryPlainClientIsAnsweredByAServerThatDiesBeforeItsAck(t *testing.T) {
	t.Parallel()
	for _, client := range everyPlainClient() {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			score(t, client.name, inRepeats)
			url := rabbit.VHost(t)
			victim := start(t, "the server that dies", "env", envServe+"="+url,
				proc.EnvCrash+"="+string(crashpoint.ReplyConfirmed), os.Args[0])
			awaitLine(t, victim, "ready")
			reply := client.call(t, url, plainRequest{queue: "numbers", body: []byte("30")})
			if string(reply.Body) != "832040" {
				t.Errorf("reply %q, want 832040", reply.Body)
			}
			waitClosed(t, victim.done, "the server has died")

			// The next server answers the same request again, to a caller that has gone, and goes on.
			var ran atomic.Int32
			serveWarren(t, url, method{server.Method{Name: "numbers"}, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				ran.Add(1)
				return handleFib(ctx, req)
			}})
			patience.Eventually(t, "the request is handled again", func() bool { return ran.Load() == 1 })
			if reply := client.call(t, url, plainRequest{queue: "numbers", body: []byte("40")}); string(reply.Body) != "102334155" {
				t.Errorf("reply %q, want 102334155", reply.Body)
			}
		})
	}
}

// awaitLine waits for the beginning of what a program prints.
func awaitLine(t *testing.T, p *program, begins string) {
	t.Helper()
	for {
		out, more := p.stdout.read()
		if strings.HasPrefix(string(out), begins) {
			return
		}
		select {
		case <-p.done:
			t.Fatalf("%s ended: %v; it printed %q", p.name, p.err, out)
		default:
		}
		waitClosed(t, more, p.name+" prints "+begins)
	}
}
