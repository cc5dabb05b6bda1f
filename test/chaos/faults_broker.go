package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/workload"
)

func (r *run) killBroker(ctx context.Context, rng chance) error {
	return r.withBroker(func() error {
		node := one(rng, r.nodes)
		return r.lasting(ctx, history.Fault{Name: "broker-kill", Target: "broker"}, upTo(rng, 2*time.Second), func() error {
			node.Kill()
			return nil
		}, func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rejoin)
			defer cancel()
			if err := node.Restart(ctx); err != nil {
				return err
			}
			if err := r.whole(ctx); err != nil {
				return err
			}
			return r.mend(ctx)
		})
	})
}

// rejoin is how long a node may take to come back.
const rejoin = 2 * time.Minute

// whole waits until the method's queue has all its members again: a cluster that
// loses another node before that has lost its majority.
func (r *run) whole(ctx context.Context) error {
	if len(r.nodes) == 1 {
		return nil
	}
	for {
		// There is none while it is deleted.
		members, online, err := r.cluster.Members(ctx, "/", r.method())
		if err != nil || members == online {
			return nil //nolint:nilerr // see above
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("chaos: %d of %d members of the queue are back: %w", online, members, err)
		}
	}
}

// mend deletes the method's queue if it is damaged, as the log of the servers says that
// somebody must: see rebirth. One server can make it again by itself, if it has made it;
// it has had the time.
func (r *run) mend(ctx context.Context) error {
	if r.awaitConsumer(ctx); r.consumed(ctx) {
		return nil
	}
	conn, err := amqp.DialConfig(r.nodes[0].URL(), amqp.Config{Heartbeat: workload.Heartbeat, Dial: amqp.DefaultDial(takenFor)})
	if err != nil {
		return nil // another fault is there
	}
	defer func() { _ = conn.CloseDeadline(time.Now().Add(takenFor)) }()
	ch, err := conn.Channel()
	if err == nil {
		_, err = ch.Consume(r.method(), "", false, false, false, false, nil)
	}
	if broken, ok := errors.AsType[*amqp.Error](err); !ok || broken.Code != amqp.InternalError {
		return nil
	}
	if err := r.strike("delete-queue", "broker", "damaged"); err != nil {
		return err
	}
	return r.nodes[0].DeleteQueue(ctx, "/", r.method())
}

func (r *run) freezeBroker(ctx context.Context, rng chance) error {
	return r.withBroker(func() error {
		node := one(rng, r.nodes)
		f := history.Fault{Name: "broker-freeze", Target: "broker"}
		return r.lasting(ctx, f, upTo(rng, 3*time.Second), node.Freeze, node.Thaw)
	})
}

func (r *run) closeConnections(ctx context.Context, rng chance) error {
	return r.withBroker(func() error {
		if err := r.strike("close-connections", "broker", ""); err != nil {
			return err
		}
		return one(rng, r.nodes).CloseConnections(ctx, "chaos")
	})
}

func (r *run) alarm(ctx context.Context, rng chance) error {
	return r.withBroker(func() error {
		node := one(rng, r.nodes)
		set, what := node.MemoryAlarm, "memory"
		if rng.IntN(2) == 0 {
			set, what = node.DiskAlarm, "disk"
		}
		f := history.Fault{Name: "alarm", Target: "broker", Detail: what}
		return r.lasting(ctx, f, upTo(rng, 2*time.Second),
			func() error { return set(ctx, true) }, func() error { return set(context.WithoutCancel(ctx), false) })
	})
}

// rebirth is for how long nothing else happens to the broker after a queue was deleted,
// if nobody consumes the new one before. A node that dies right after the declaration
// leaves a queue that is broken for good, if the server that made it dies, too.
const rebirth = 5 * time.Second

// awaitConsumer waits until somebody consumes the new queue, or rebirth is over.
func (r *run) awaitConsumer(ctx context.Context) {
	for over := time.Now().Add(rebirth); time.Now().Before(over); {
		if pause(ctx, 50*time.Millisecond) != nil || r.consumed(ctx) {
			return
		}
	}
}

func (r *run) deleteQueue(ctx context.Context, _ chance) error {
	return r.withBroker(func() error {
		if err := r.strike("delete-queue", "broker", ""); err != nil {
			return err
		}
		if _, err := r.depth(ctx, r.method()); err != nil {
			return nil //nolint:nilerr // it is not there, as the one before deleted it and nobody serves
		}
		if err := r.nodes[0].DeleteQueue(ctx, "/", r.method()); err != nil {
			return err
		}
		r.awaitConsumer(ctx)
		return nil
	})
}
