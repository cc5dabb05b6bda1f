package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// Handlers that obey their context do not cost Stop the whole grace that is
// meant for those that do not.
func TestStopReturnsWhenCancelledHandlersHaveEnded(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	g := rig.NewGate()
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{url}}, Logger: rig.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, register := range []func(*server.Server) error{serveEcho("idle"), serveGate(g, "gate")} {
		if err := register(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	call := newClient(t, url).Go(testContext(t), "gate", []byte("body"))
	<-g.Entered
	ctx, cancel := context.WithTimeout(testContext(t), 50*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop: %v", err)
	}
	// The request went back: another server answers it.
	close(g.Release)
	newServer(t, url, serveGate(g, "gate"))
	if reply, err := call.Result(); err != nil || string(reply.Body) != "body" {
		t.Fatalf("%v, %v", reply, err)
	}
}
