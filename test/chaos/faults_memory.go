package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/test/chaos/check"
	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/chaos/workload"
)

// memory is a server of its own, whose method forgets its calls soon. It and its
// clients live in a time that can be moved ahead: hours pass for them in no time.
type memory struct {
	wanted  bool
	turn    sync.Mutex   // held by who does something to it
	ahead   atomic.Int64 // of the machine's time, in nanoseconds
	spec    workload.Spec
	server  *proc.Process
	clients []*client.Client // of the same clock, of a fast and of a slow one
	others  int              // other stores
}

const (
	fast = 45 * time.Second
	slow = -15 * time.Second // within what a call of memory has
	// oblivion is when a call has been forgotten, by all clocks that are allowed for.
	oblivion = workload.Retention + 15*time.Second
	// recollection is how long a call of memory may take.
	recollection = 30 * time.Second
)

// memoryStore is memory's own, and otherStore each of those that know nothing of its
// calls.
const memoryStore = "memory"

func otherStore(n int) string { return fmt.Sprintf("other_%d", n) }

func (r *run) startMemory(ctx context.Context) (err error) {
	m := &r.memory
	if err := r.cfg.Backend.Create(ctx, r.readable(memoryStore)); err != nil {
		return err
	}
	m.spec = r.spec
	m.spec.URLs, m.spec.Store = r.far.urls(workload.User, 0), r.place(memoryStore)
	m.spec.Name, m.spec.Memory, m.spec.Clock = "memory", true, true
	if m.server, err = r.startProcess(ctx, r.cfg.Server, m.spec, r.remote(), "memory.log"); err != nil {
		return err
	}
	for _, skew := range []time.Duration{0, fast, slow} {
		ahead := func() time.Duration { return time.Duration(m.ahead.Load()) + skew }
		c, err := workload.NewWarped(r.near.urls(workload.User, 0), ahead, r.cfg.Timeout)
		if err != nil {
			return err
		}
		m.clients = append(m.clients, c)
	}
	return nil
}

// remembering has something happen to memory, one after the other.
func (r *run) remembering(ctx context.Context, name string, do func(ctx context.Context) error) error {
	return with(&r.memory.turn, func() error {
		f := history.Fault{Name: name, Target: "memory"}
		whole := context.WithoutCancel(ctx)
		return r.lasting(ctx, f, 0, func() error { return do(whole) }, func() error { return nil })
	})
}

// pass has so much time pass for memory, its server and its clients, and reports
// whether it could. No request may be with the server meanwhile: one that it has read
// would stay as young as it was.
func (r *run) pass(ctx context.Context, d time.Duration) (passed bool, err error) {
	order, cancel := context.WithTimeout(ctx, recollection)
	defer cancel()
	for {
		if depth, err := r.depth(order, workload.Memory); err == nil && depth == 0 {
			break
		}
		if pause(order, 50*time.Millisecond) != nil {
			return false, nil // another fault was there
		}
	}
	return true, r.memory.server.SetClock(order, time.Duration(r.memory.ahead.Add(int64(d))))
}

// outlive has a request come again when its call has been forgotten, as after an
// outage of the broker that was longer than the retention.
func (r *run) outlive(ctx context.Context, rng chance) error {
	return r.remembering(ctx, "retention", func(ctx context.Context) error {
		id := uuid.NewString()
		issued := time.Now().Add(time.Duration(r.memory.ahead.Load()))
		if r.clients.Remember(ctx, r.memory.clients[0], id, recollection) != nil {
			return nil //nolint:nilerr // another fault was there
		}
		if passed, err := r.pass(ctx, oblivion); err != nil || !passed {
			return err
		}
		meta := wire.Meta{Kind: wire.KindCall, Attempt: 1, Issued: issued}
		return r.post(ctx, rng, amqp.Publishing{
			ContentType: "application/json", DeliveryMode: amqp.Persistent, CorrelationId: id, Type: meta.Encode(), UserId: workload.User,
			Body: []byte(workload.MemoryBody),
		})
	})
}

// post publishes a request of memory. If the broker is away it does not come.
func (r *run) post(ctx context.Context, rng chance, p amqp.Publishing) error {
	conn, err := amqp.DialConfig(one(rng, r.nodes).URL(), amqp.Config{Heartbeat: workload.Heartbeat, Dial: amqp.DefaultDial(takenFor)})
	if err != nil {
		return nil // see above
	}
	defer func() { _ = conn.CloseDeadline(time.Now().Add(takenFor)) }()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err == nil {
		var confirm *amqp.DeferredConfirmation
		if confirm, err = ch.PublishWithDeferredConfirm("", workload.Memory, false, false, p); err == nil {
			short, cancel := context.WithTimeout(ctx, plainPeerWithin)
			defer cancel()
			_, _ = confirm.WaitContext(short)
		}
	}
	if _, broken := errors.AsType[*amqp.Error](err); err == nil || broken {
		return nil
	}
	return fmt.Errorf("post: %w", err)
}

// skewed has a caller whose clock is wrong ask what became of its call. To one whose
// clock is fast, a call that has been forgotten looks young.
func (r *run) skewed(ctx context.Context, rng chance) error {
	return r.remembering(ctx, "skew", func(ctx context.Context) error {
		id, issued := uuid.NewString(), time.Now()
		// The fast client's record is forgotten, and rightly, some seconds after that.
		answered := issued.Add(workload.Retention + fast - oblivion - 5*time.Second)
		which := 1 + rng.IntN(2)
		through := r.memory.clients[which]
		if r.clients.Remember(ctx, through, id, recollection) != nil {
			return nil // another fault was there
		}
		if which == 1 {
			if passed, err := r.pass(ctx, oblivion); err != nil || !passed {
				return err
			}
			issued = issued.Add(-oblivion)
		}
		ctx, cancel := context.WithDeadline(ctx, answered)
		defer cancel()
		r.clients.Recall(ctx, through, id, issued)
		return nil
	})
}

// supplant has the server die when it has done a call and before it has
// acknowledged it, and one take its place that knows nothing of it: it must not.
func (r *run) supplant(ctx context.Context, rng chance) error {
	return r.remembering(ctx, "other-store", func(ctx context.Context) error {
		m := &r.memory
		point := one(rng, []string{"committed", "reply-published", "reply-confirmed"})
		order, cancel := context.WithTimeout(ctx, recollection)
		defer cancel()
		if err := m.server.Arm(order, proc.Plan(point+":1")); err != nil {
			return err
		}
		var calling sync.WaitGroup
		calling.Go(func() { _ = r.clients.Remember(ctx, m.clients[0], uuid.NewString(), recollection) })
		defer calling.Wait()
		dies, cancelDies := context.WithTimeout(ctx, recollection/2)
		defer cancelDies()
		if _, err := m.server.Wait(dies); err != nil {
			// The call has not come that far: another fault was there.
			return m.server.Arm(order, "")
		}
		if err := r.intrude(ctx); err != nil {
			return err
		}
		return restart(ctx, m.server)
	})
}

// intrude starts a server with a store of its own, for a while.
func (r *run) intrude(ctx context.Context) error {
	began, cancel := context.WithTimeout(ctx, recollection/5)
	defer cancel()
	name := otherStore(r.memory.others)
	r.memory.others++
	if r.cfg.Backend.Create(began, r.readable(name)) != nil {
		return nil // another fault was there
	}
	spec := r.memory.spec
	spec.Name, spec.Store = check.Intruder, r.place(name)
	options := r.remote()
	options.ClockOffset = time.Duration(r.memory.ahead.Load())
	p, err := r.startProcess(began, r.cfg.Server, spec, options, "intruder.log")
	if err != nil {
		return nil // it must not serve
	}
	_ = pause(ctx, time.Second)
	return p.Close()
}

// readMemories records the effects that are in memory's stores.
func (r *run) readMemories(ctx context.Context) error {
	if !r.memory.wanted {
		return nil
	}
	if _, err := r.cfg.Backend.Book(ctx, r.readable(memoryStore), nil, r.log.Append); err != nil {
		return err
	}
	if r.memory.others == 0 {
		return nil
	}
	log, err := history.Open(r.cfg.Folder, check.Intruder, r.began)
	if err != nil {
		return err
	}
	for n := range r.memory.others {
		_, bookErr := r.cfg.Backend.Book(ctx, r.readable(otherStore(n)), nil, log.Append)
		if !errors.Is(bookErr, fs.ErrNotExist) {
			err = errors.Join(err, bookErr)
		}
	}
	return errors.Join(err, log.Close())
}
