package redisstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/warren-rpc/warren/store"
)

const (
	// maxSenders is how many round trips are under way at a time: while Redis works on one,
	// the replies of another are read.
	maxSenders = 2
	// maxOps is how many scripts go in one round trip.
	maxOps = 128
	// maxBytes is how much one round trip carries, unless a script alone has more. A slow
	// link must carry it within the client's timeouts, and what waits behind it is not to
	// wait for long.
	maxBytes = 1 << 20
)

// op is one script to be run.
type op struct {
	script *script
	keys   []string
	args   []any
	reads  int // how large a payload its reply is taken to have, in bytes

	begun atomic.Bool   // it has been sent, or nobody waits for it
	done  chan struct{} // closed once it has ended
	reply []any
	err   error
}

// bytes is about how much is sent and read for the script.
func (o *op) bytes() int {
	n := o.reads
	for _, arg := range o.args {
		switch arg := arg.(type) {
		case []byte:
			n += len(arg)
		case string:
			n += len(arg)
		}
	}
	return n
}

// line gathers the scripts of concurrent callers, and sends those that wait in one
// round trip. It has goroutines only while there is something to send.
type line struct {
	client redis.UniversalClient
	opts   *Options
	synced string // the key that is written to wait for replicas

	mu      sync.Mutex
	waiting []*op
	senders int
	closed  bool
	refusal error // why nothing is sent now
	group   sync.WaitGroup
}

// do runs the script. If ctx ends before it is sent, nothing was done; after that, do
// waits for the reply.
func (l *line) do(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	alone, err := l.enter()
	switch {
	case err != nil:
		return err
	case alone:
		// Another goroutine would cost more than Redis takes.
		o.begun.Store(true)
		l.exec([]*op{o}) //nolint:contextcheck // what is under way is not given up
		l.leave()
		return o.err
	}
	if err := l.add(o); err != nil {
		return err
	}
	return o.wait(ctx)
}

// enter makes the caller a sender, for its own script alone, if nothing else is sent.
func (l *line) enter() (alone bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return false, err
	}
	if l.senders > 0 {
		return false, nil
	}
	l.senders++
	l.group.Add(1)
	return true, nil
}

// usable says why nothing may be sent, if so. The caller holds mu.
func (l *line) usable() error {
	if l.closed {
		return store.ErrClosed
	}
	return l.refusal
}

// refuse has all scripts fail from here on; with nil, it has none fail any more.
func (l *line) refuse(err *refusedError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusal = nil
	if err != nil {
		l.refusal = err
	}
}

// leave ends what enter began. What came meanwhile is for others to send.
func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.group.Done()
	if len(l.waiting) > 0 && !l.closed {
		l.group.Go(l.send) // in this one's place
		return
	}
	l.senders--
}

// wait waits for what was added to a line.
func (o *op) wait(ctx context.Context) error {
	select {
	case <-o.done:
	case <-ctx.Done():
		if !o.begun.Swap(true) {
			return ctx.Err()
		}
		<-o.done
	}
	return o.err
}

func (l *line) add(o *op) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	l.waiting = append(l.waiting, o)
	if l.senders < maxSenders {
		l.senders++
		l.group.Go(l.send)
	}
	return nil
}

// send sends what waits, until nothing does.
func (l *line) send() {
	for {
		ops := l.take()
		if ops == nil {
			return
		}
		l.exec(ops)
		for _, o := range ops {
			close(o.done)
		}
	}
}

// take returns what goes in the next round trip. If it returns nil, the sender is one
// no more.
func (l *line) take() []*op {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ops []*op
	n, bytes := 0, 0
	for _, o := range l.waiting {
		bytes += o.bytes()
		if len(ops) == maxOps || len(ops) > 0 && bytes > maxBytes {
			break
		}
		n++
		if !o.begun.Swap(true) {
			ops = append(ops, o)
		}
	}
	l.waiting = slices.Delete(l.waiting, 0, n)
	if ops == nil {
		l.senders--
	}
	return ops
}

// exec runs the scripts. What becomes of one does not concern the others, but for the
// connection and the replicas, which they share.
func (l *line) exec(ops []*op) {
	l.roundTrip(ops, func(pipe redis.Pipeliner, o *op) *redis.Cmd {
		return pipe.EvalSha(context.Background(), o.script.sha, o.keys, o.args...)
	})
	unknown := slices.DeleteFunc(slices.Clone(ops), func(o *op) bool { return !redis.HasErrorPrefix(o.err, "NOSCRIPT") })
	if len(unknown) > 0 {
		// It was restarted, or another has taken its place. This one did nothing of them.
		l.roundTrip(unknown, func(pipe redis.Pipeliner, o *op) *redis.Cmd {
			return pipe.Eval(context.Background(), o.script.source, o.keys, o.args...)
		})
	}
}

func (l *line) roundTrip(ops []*op, add func(redis.Pipeliner, *op) *redis.Cmd) {
	ctx := context.Background()
	pipe := l.client.Pipeline()
	cmds := make([]*redis.Cmd, len(ops))
	for i, o := range ops {
		cmds[i] = add(pipe, o)
	}
	var wait *redis.Cmd
	if l.opts.Replicas > 0 {
		// WAIT waits for the connection's own writes and all before them: with one of its
		// own, for what the scripts have read, too.
		pipe.Incr(ctx, l.synced)
		wait = pipe.Do(ctx, "wait", l.opts.Replicas, l.opts.ReplicaTimeout.Milliseconds())
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, o := range ops {
		o.reply, o.err = cmds[i].Slice()
	}
	if wait == nil {
		return
	}
	n, err := wait.Int64()
	if err == nil && n < int64(l.opts.Replicas) {
		err = fmt.Errorf("%d replicas have it within %v, of %d that must", n, l.opts.ReplicaTimeout, l.opts.Replicas)
	}
	for _, o := range ops {
		if o.err == nil {
			o.err = err
		}
	}
}

// close refuses all scripts from here on, ends those that wait, and waits for those
// that were sent.
func (l *line) close() {
	l.mu.Lock()
	l.closed = true
	for _, o := range l.waiting {
		if !o.begun.Swap(true) {
			o.err = store.ErrClosed
			close(o.done)
		}
	}
	l.waiting = nil
	l.mu.Unlock()
	l.group.Wait()
}

func (l *line) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}
