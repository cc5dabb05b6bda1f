package workload

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// File is the backend of a server that has its store, and the application's state, in
// a file.
type File struct{}

// StoreName is the name of a store's file in the folder that it is in.
const StoreName = "store.db"

// Shared implements Backend.
func (File) Shared() bool { return false }

// Create implements Backend: who opens a file makes it.
func (File) Create(context.Context, string) error { return nil }

// Open implements Backend.
func (File) Open(_ context.Context, path string, o BackendOptions) (store.Store, error) {
	st, err := boltstore.Open(path, boltstore.Options{Now: o.Now, SweepEvery: o.SweepEvery, Logger: o.Logger})
	if err != nil || o.Claim == nil {
		return st, err
	}
	return watchedFile{st, o}, nil
}

// watchedFile is a store whose claims its backend's user sees.
type watchedFile struct {
	*boltstore.Store

	options BackendOptions
}

// Claim implements store.Store.
func (w watchedFile) Claim(ctx context.Context, c store.Claim) (store.Record, bool, error) {
	return w.options.Claim(ctx, w.Store, c)
}

// HandleTx implements Backend.
func (File) HandleTx(s *server.Server, m server.Method, do func(context.Context, State, history.Op) (Answer, error)) error {
	return server.HandleTx(s, m, func(ctx context.Context, tx *bbolt.Tx, op history.Op) (Answer, error) {
		return do(ctx, fileState{tx}, op)
	})
}

// Book implements Backend.
func (File) Book(
	_ context.Context, path string, accounts []string, fn func(history.Event) error,
) (balances map[string]int64, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("read the book: %w", err)
	}
	defer func() { _ = db.Close() }()
	balances = map[string]int64{}
	err = db.View(func(tx *bbolt.Tx) error {
		s := fileState{tx}
		for _, account := range accounts {
			balances[account] = Opening
		}
		if b := tx.Bucket(accountsBucket); b != nil {
			for account := range balances {
				if balances[account], err = s.balance(b, account); err != nil {
					return err
				}
			}
		}
		b := tx.Bucket(bookBucket)
		if b == nil {
			return nil
		}
		return b.ForEach(func(_, line []byte) error {
			var e history.Event
			if err := json.Unmarshal(line, &e); err != nil {
				return fmt.Errorf("a line of the book: %w", err)
			}
			return fn(e)
		})
	})
	return balances, err
}

// The buckets of the application's state in the store's file.
var (
	bookBucket     = []byte("chaos.book")
	accountsBucket = []byte("chaos.accounts")
	registerBucket = []byte("chaos.registers")
)

// fileState is the application's part of the file.
type fileState struct{ tx *bbolt.Tx }

func (s fileState) bucket(name []byte) (*bbolt.Bucket, error) {
	b, err := s.tx.CreateBucketIfNotExists(name)
	if err != nil {
		return nil, fmt.Errorf("the bucket %s: %w", name, err)
	}
	return b, nil
}

func (s fileState) balance(b *bbolt.Bucket, account string) (int64, error) {
	text := b.Get([]byte(account))
	if text == nil {
		return Opening, nil
	}
	return strconv.ParseInt(string(text), 10, 64)
}

// Transfer implements State.
func (s fileState) Transfer(from, to string, amount int64) error {
	b, err := s.bucket(accountsBucket)
	if err != nil {
		return err
	}
	for _, change := range []struct {
		account string
		by      int64
	}{{from, -amount}, {to, amount}} {
		held, err := s.balance(b, change.account)
		if err != nil {
			return err
		}
		if err := b.Put([]byte(change.account), strconv.AppendInt(nil, held+change.by, 10)); err != nil {
			return err
		}
	}
	return nil
}

// Register implements State.
func (s fileState) Register(key string) (string, error) {
	b, err := s.bucket(registerBucket)
	if err != nil {
		return "", err
	}
	return string(b.Get([]byte(key))), nil
}

// Set implements State.
func (s fileState) Set(key, value string) error {
	b, err := s.bucket(registerBucket)
	if err != nil {
		return err
	}
	return b.Put([]byte(key), []byte(value))
}

// Swap implements State.
func (s fileState) Swap(key, old, value string) (found string, err error) {
	if found, err = s.Register(key); err != nil || found != old {
		return found, err
	}
	return found, s.Set(key, value)
}

// Note implements State.
func (s fileState) Note(e history.Event) error {
	b, err := s.bucket(bookBucket)
	if err != nil {
		return err
	}
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return b.Put(binary.BigEndian.AppendUint64(nil, n), line)
}
