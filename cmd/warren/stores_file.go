package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
)

// fileLocation is the path of a store in a file.
type fileLocation string

func (p fileLocation) String() string { return string(p) }

func (p fileLocation) inspect(context.Context) (inspector, error) {
	r, err := boltstore.OpenReadOnly(string(p))
	if err != nil {
		return nil, err
	}
	return fileInspector{r, string(p)}, nil
}

func (fileLocation) states() []store.State { return fileStates }

func (p fileLocation) check(ctx context.Context) (*storeCheckResult, error) {
	report, err := boltstore.Check(ctx, string(p))
	if err != nil {
		return nil, err
	}
	return newStoreCheckResult(report.Records, report.Findings), nil
}

// sweep opens the file as a server does: what was in progress is interrupted then.
func (p fileLocation) sweep(ctx context.Context) (int, error) {
	if _, err := os.Stat(string(p)); err != nil { // it is not made
		return 0, err
	}
	s, err := boltstore.Open(string(p), boltstore.Options{SweepEvery: -1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	n, err := s.Sweep(ctx)
	return n, firstError(err, s.Close())
}

func (p fileLocation) remember(_ context.Context, mode server.Mode, log *slog.Logger) (*memory, error) {
	s, err := boltstore.Open(string(p), boltstore.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	if mode == server.Transactional {
		return &memory{store: s, count: func(srv *server.Server, m server.Method) error {
			return server.HandleTx(srv, m, func(_ context.Context, tx *bbolt.Tx, _ anyText) (string, error) { return incrementInFile(tx) })
		}, closes: s.Close}, nil
	}
	counter, err := bbolt.Open(string(p)+".count", 0o600, &bbolt.Options{Timeout: counterPatience})
	if err != nil {
		return nil, fmt.Errorf("open the counter beside the store: %w", errors.Join(err, s.Close()))
	}
	return &memory{store: s, count: func(srv *server.Server, m server.Method) error {
		return server.Handle(srv, m, func(context.Context, anyText) (n string, err error) {
			err = counter.Update(func(tx *bbolt.Tx) error {
				n, err = incrementInFile(tx)
				return err
			})
			return n, err
		})
	}, closes: func() error { return errors.Join(s.Close(), counter.Close()) }}, nil
}

// counterPatience is how long another process may take to let go of the counter.
const counterPatience = time.Second

// incrementInFile adds one to the counter in the transaction.
func incrementInFile(tx *bbolt.Tx) (string, error) {
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

// fileInspector reads a file that nobody has open: nothing in it is in progress.
type fileInspector struct {
	*boltstore.Reader

	path string
}

func (f fileInspector) Each(ctx context.Context, fn func(store.Record) error) error {
	return f.All(ctx, fn)
}

func (f fileInspector) identity() (store.Identity, error) { return f.Identity() }

func (f fileInspector) stats(ctx context.Context) (*storeStatsResult, error) {
	stats, err := f.Stats(ctx)
	if err != nil {
		return nil, err
	}
	epoch, err := f.Epoch()
	if err != nil {
		return nil, err
	}
	id, err := f.Identity()
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	result := newStoreStatsResult(id, &stats, fileStates)
	result.File, result.storeFileStats = f.path, &storeFileStats{FileSize: info.Size(), Epoch: epoch}
	return result, result.readExpiries(ctx, f.Reader, time.Now())
}

var errSeen = errors.New("enough was seen")

// readExpiries looks at the records that are past their retention, and a minute's
// more: that is how far they are out of order.
func (s *storeFileStats) readExpiries(ctx context.Context, r *boltstore.Reader, now time.Time) error {
	var oldest, next time.Time
	err := r.All(ctx, func(record store.Record) error {
		at := record.Expires
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
		switch {
		case !at.After(now):
			s.Expired++
		case next.IsZero() || at.Before(next):
			next = at
		case at.After(next.Add(time.Minute)):
			return errSeen
		}
		return nil
	})
	if errors.Is(err, errSeen) {
		err = nil
	}
	s.OldestExpiry, s.NextExpiry = known(oldest), known(next)
	return err
}
