package rabbit

import (
	"context"
	"errors"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

func TestDurableQueueSurvivesStopAndKill(t *testing.T) {
	t.Parallel()
	n := New(t, Options{})
	url, err := n.AddVHost(t.Context(), "lasting")
	if err != nil {
		t.Fatal(err)
	}
	_, ch := dial(t, url)
	for _, kind := range []string{"classic", "quorum"} {
		declare(t, ch, kind, kind)
		publish(t, ch, kind, kind)
	}
	// Stop comes first: a quorum queue may not survive a kill a moment after it
	// was declared, which is the broker's fault and not of interest here.
	for _, end := range []func(){
		func() {
			if err := n.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		n.Kill,
	} {
		before := n.PID()
		end()
		end() // legal, without effect
		if n.PID() != 0 {
			t.Fatalf("process %d although the broker has ended", n.PID())
		}
		if _, err := n.Connections(t.Context()); err == nil {
			t.Error("the broker answers although it has ended")
		}
		if err := n.Freeze(); err == nil {
			t.Error("froze a broker that has ended")
		}
		if err := n.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if pid := n.PID(); pid == 0 || pid == before {
			t.Errorf("after Restart: process %d, was %d", pid, before)
		}
		_, ch := dial(t, url)
		for _, kind := range []string{"classic", "quorum"} {
			patience.Eventually(t, "there again", func() bool {
				message, ok, err := ch.Get(kind, false)
				if err != nil {
					t.Fatal(err)
				}
				if ok && string(message.Body) != kind {
					t.Fatalf("queue %s holds %q", kind, message.Body)
				}
				return ok
			})
		}
	}
}

// The parts share a node, since a boot takes seconds; the last one ends it.
func TestFaultsOfARunningBroker(t *testing.T) {
	t.Parallel()
	n := New(t, Options{})
	t.Run("close connections", func(t *testing.T) { closesConnections(t, n) })
	t.Run("memory alarm", func(t *testing.T) { blocksPublishers(t, n, n.MemoryAlarm) })
	t.Run("disk alarm", func(t *testing.T) { blocksPublishers(t, n, n.DiskAlarm) })
	t.Run("freeze", func(t *testing.T) { isSilentWhileFrozen(t, n) })

	t.Run("stop a frozen broker", func(t *testing.T) {
		if err := errors.Join(n.Freeze(), n.Stop(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

func closesConnections(t *testing.T, n *Node) {
	t.Helper()
	var closed []chan *amqp.Error
	for range 3 {
		conn, _ := dial(t, n.URL())
		closed = append(closed, conn.NotifyClose(make(chan *amqp.Error, 1)))
	}
	connections, err := n.Connections(t.Context())
	channels, err2 := n.Channels(t.Context())
	if connections != 3 || channels != 3 || errors.Join(err, err2) != nil {
		t.Errorf("%d connections, %d channels (%v, %v); want 3 of each", connections, channels, err, err2)
	}
	if err := n.CloseConnections(t.Context(), "a reason"); err != nil {
		t.Fatal(err)
	}
	for _, c := range closed {
		if err := <-c; err == nil || err.Code != amqp.ConnectionForced {
			t.Errorf("a client was told %v", err)
		}
	}
	patience.Eventually(t, "empty", func() bool {
		connections, err := n.Connections(t.Context())
		return err == nil && connections == 0
	})
	dial(t, n.URL())
}

func blocksPublishers(t *testing.T, n *Node, alarm func(context.Context, bool) error) {
	t.Helper()
	conn, ch := dial(t, n.URL())
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 4))
	declare(t, ch, "q", "classic")
	publish(t, ch, "q", "before")
	for range 2 { // setting twice is setting once
		if err := alarm(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	// The broker stops reading at the first publish. It may still take that one.
	if err := ch.PublishWithContext(t.Context(), "", "q", false, false, amqp.Publishing{}); err != nil {
		t.Fatal(err)
	}
	if b := <-blocked; !b.Active {
		t.Error("told that the alarm is over")
	}
	confirm, err := ch.PublishWithDeferredConfirm("", "q", false, false, amqp.Publishing{})
	if err != nil {
		t.Fatal(err)
	}
	// Longer than the broker's own monitor of memory takes to look again.
	select {
	case b := <-blocked:
		t.Errorf("told %+v during the alarm", b)
	case <-confirm.Done():
		t.Error("a publish was confirmed during the alarm")
	case <-time.After(1500 * time.Millisecond):
	}
	if err := alarm(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if b := <-blocked; b.Active {
		t.Errorf("told %+v after the alarm", b)
	}
	if acked, err := confirm.WaitContext(t.Context()); err != nil || !acked {
		t.Errorf("after the alarm: acked %v, %v", acked, err)
	}
}

func isSilentWhileFrozen(t *testing.T, n *Node) {
	t.Helper()
	_, ch := dial(t, n.URL())
	declare(t, ch, "q", "classic")
	if err := n.Freeze(); err != nil {
		t.Fatal(err)
	}
	before := n.CPU()
	confirm, err := ch.PublishWithDeferredConfirm("", "q", false, false, amqp.Publishing{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := confirm.WaitContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen broker confirmed: %v", err)
	}
	if _, err := n.Connections(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen broker answered: %v", err)
	}
	if n.CPU() != before || n.PID() == 0 {
		t.Errorf("process %d used %v while frozen", n.PID(), n.CPU()-before)
	}
	if err := n.Thaw(); err != nil {
		t.Fatal(err)
	}
	if acked, err := confirm.WaitContext(t.Context()); err != nil || !acked {
		t.Errorf("after Thaw: acked %v, %v", acked, err)
	}
	if _, err := n.Connections(t.Context()); err != nil {
		t.Errorf("after Thaw: %v", err)
	}
}
