package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v3"
	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/boltstore"
)

// storeModes are what --store-mode takes.
var storeModes = []server.Mode{server.AtLeastOnce, server.AtMostOnce, server.Transactional}

func storeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "store", Usage: "remember calls in `FILE`, which is made if it is not there, and serve sample.count"},
		&cli.StringFlag{
			Name: "store-mode", Value: server.AtLeastOnce.String(),
			Usage: "at-least-once, at-most-once, or transactional: what is promised of calls that are repeated",
		},
	}
}

// memory is what a server remembers calls in.
type memory struct {
	store   *boltstore.Store
	mode    server.Mode
	counter *bbolt.DB // of sample.count, where the store's transaction is not the handler's
}

// openMemory opens what the command line names; nil if it names nothing.
func openMemory(cmd *cli.Command, out *output) (*memory, error) {
	path, name := cmd.String("store"), cmd.String("store-mode")
	i := slices.IndexFunc(storeModes, func(m server.Mode) bool { return m.String() == name })
	switch {
	case i < 0:
		return nil, usageError(cmd, "--store-mode is %.60q; it must be at-least-once, at-most-once or transactional", name)
	case path == "" && cmd.IsSet("store-mode"):
		return nil, usageError(cmd, "--store-mode says nothing without --store")
	case path == "":
		return nil, nil
	}
	m := &memory{mode: storeModes[i]}
	var err error
	if m.store, err = boltstore.Open(path, boltstore.Options{Logger: out.logger()}); err != nil {
		return nil, exit(exitInternal, "%w", err)
	}
	if m.mode != server.Transactional {
		if m.counter, err = bbolt.Open(path+".count", 0o600, &bbolt.Options{Timeout: counterPatience}); err != nil {
			return nil, exit(exitInternal, "open the counter beside the store: %w", errors.Join(err, m.store.Close()))
		}
	}
	return m, nil
}

// counterPatience is how long another process may take to let go of the counter.
const counterPatience = time.Second

func (m *memory) close() error {
	if m.counter == nil {
		return m.store.Close()
	}
	return errors.Join(m.store.Close(), m.counter.Close())
}

// remembered makes the settings of a sample without a transaction.
func (m *memory) remembered(settings server.Method) server.Method {
	if m != nil && m.mode != server.Transactional {
		settings.Dedupe.Mode = m.mode
	}
	return settings
}

// count is the sample that has an effect: it adds one to a counter and answers with
// what that is then. In transactional mode the counter is in the store's file, and
// changes with the record of the call; else it is in a file of its own.
func (m *memory) count() sample {
	return sample{"sample.count", func(s *server.Server, settings server.Method) error {
		settings.Codec = textCodec{}
		if m.mode == server.Transactional {
			return server.HandleTx(s, settings, func(_ context.Context, tx *bbolt.Tx, _ anyText) (string, error) { return increment(tx) })
		}
		return server.Handle(s, settings, func(context.Context, anyText) (n string, err error) {
			err = m.counter.Update(func(tx *bbolt.Tx) error {
				n, err = increment(tx)
				return err
			})
			return n, err
		})
	}}
}

// anyText is a body that does not matter.
type anyText struct{}

// UnmarshalText implements encoding.TextUnmarshaler.
func (*anyText) UnmarshalText([]byte) error { return nil }

// increment adds one to the counter in the transaction.
func increment(tx *bbolt.Tx) (string, error) {
	b, err := tx.CreateBucketIfNotExists([]byte("sample"))
	if err != nil {
		return "", fmt.Errorf("the counter: %w", err)
	}
	key := []byte("count")
	var n uint64
	if value := b.Get(key); len(value) == 8 {
		n = binary.BigEndian.Uint64(value)
	}
	n++
	if err := b.Put(key, binary.BigEndian.AppendUint64(nil, n)); err != nil {
		return "", fmt.Errorf("the counter: %w", err)
	}
	return strconv.FormatUint(n, 10), nil
}
