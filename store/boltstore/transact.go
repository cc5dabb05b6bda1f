package boltstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

// fnResult is what a function of the application has returned.
type fnResult struct {
	result store.Result
	err    error
}

// errLeft stands for the error of a function that did not return: it panicked or ended
// its goroutine. Nobody sees it, as the caller does not return either.
var errLeft = errors.New("boltstore: the function did not return")

// errFunction rolls a transaction back from which one function must be left out.
var errFunction = errors.New("boltstore: a function of the batch failed")

// Transact implements store.Transactional. fn runs on the calling goroutine, and
// must leave the buckets whose names begin with [Bucket] alone.
func (s *Store) Transact(
	ctx context.Context, key store.Key, token uint64, retention time.Duration, fn func(tx *bbolt.Tx) (store.Result, error),
) error {
	if err := retained(retention); err != nil {
		return err
	}
	o := &op{name: "transact", ends: true, placed: true, turn: make(chan *bbolt.Tx), returned: make(chan fnResult)}
	c := &call{op: o, fn: fn}
	o.call = c.run
	o.apply = func(b *batch) error {
		if _, err := b.owned(key, token); err != nil {
			return err
		}
		if err := b.open(); err != nil {
			return err
		}
		b.dirty = true
		o.turn <- b.tx
		v := <-o.returned
		if v.err == nil {
			v.err = v.result.Validate()
		}
		if v.err == nil && !b.whole(s.journal.Size()) {
			v.err = fmt.Errorf("boltstore: the function replaced, deleted or changed a bucket %s, which is the store's", Bucket)
		}
		if v.err == nil {
			o.weight = s.opts.kept(v.result.Payload)
			v.err = b.complete(key, token, v.result, retention)
		}
		if v.err != nil {
			o.failure = v.err
			return errFunction
		}
		return nil
	}
	return s.do(ctx, o)
}

// call is the caller's side of a Transact.
type call struct {
	op *op
	fn func(*bbolt.Tx) (store.Result, error)
}

// run calls the function and tells the commit what came of it. If the function
// does not return, neither does run, and the transaction has been rolled back
// before the goroutine goes on with its panic or its end.
func (c *call) run(tx *bbolt.Tx) {
	v := fnResult{err: errLeft}
	returned := false
	defer func() {
		c.op.returned <- v
		if !returned {
			<-c.op.done
		}
	}()
	v = c.protected(tx)
	returned = true
}

// protected makes a page that cannot be read a damage, and lets all other panics
// pass.
func (c *call) protected(tx *bbolt.Tx) (v fnResult) {
	err := guardIf(faulted, func() (err error) {
		v.result, err = c.fn(tx)
		return err
	})
	v.err = err
	return v
}
