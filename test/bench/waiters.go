package bench

import (
	"context"
	"errors"
	"strconv"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

var errClosed = errors.New("the connection was closed")

// waiters are the open calls of a client by hand, by correlation ID. Its reply
// queue is its own, so that a counter is unique enough for the IDs.
type waiters struct {
	mu   sync.Mutex
	last uint64
	open map[string]chan answer
	dead error // why no call can be answered any more

	idle sync.Pool // of chan answer, which are empty
}

type answer struct {
	body []byte
	err  error
}

func newWaiters() *waiters {
	return &waiters{open: make(map[string]chan answer)}
}

// begin opens a call. It must be followed by await.
func (w *waiters) begin() (id string, answers chan answer, err error) {
	answers, ok := w.idle.Get().(chan answer)
	if !ok {
		answers = make(chan answer, 1)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead != nil {
		return "", nil, w.dead
	}
	w.last++
	id = strconv.FormatUint(w.last, 36)
	w.open[id] = answers
	return id, answers, nil
}

// await returns the call's answer, or the context's error.
func (w *waiters) await(ctx context.Context, id string, answers chan answer) ([]byte, error) {
	select {
	case a := <-answers:
		w.idle.Put(answers) // there is one answer to a call
		return a.body, a.err
	case <-ctx.Done():
		w.settle(id, answer{})
		return nil, context.Cause(ctx)
	}
}

// settle answers a call. A call that is no longer open is none of ours.
func (w *waiters) settle(id string, a answer) {
	w.mu.Lock()
	one := w.open[id]
	delete(w.open, id)
	w.mu.Unlock()
	if one != nil {
		one <- a
	}
}

// settleAll answers calls from replies until their connection ends, and fails
// those that are open then.
func (w *waiters) settleAll(replies <-chan amqp.Delivery) {
	for d := range replies {
		w.settle(d.CorrelationId, answer{body: d.Body})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = errClosed
	for id, one := range w.open {
		delete(w.open, id)
		one <- answer{err: errClosed}
	}
}
