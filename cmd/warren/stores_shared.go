package main

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/warren-rpc/warren/store"
)

// sharedStore is a store that several processes have open, this one among them.
type sharedStore interface {
	store.Store
	// Each calls fn with all records.
	Each(ctx context.Context, fn func(store.Record) error) error
}

// sharedInspector reads a store as one of those that have it open.
type sharedInspector struct {
	sharedStore

	url    string // without passwords
	closes func() error
}

func (s *sharedInspector) identity() (store.Identity, error) { return s.Identity(), nil }

func (s *sharedInspector) Close() error { return s.closes() }

func (s *sharedInspector) stats(ctx context.Context) (*storeStatsResult, error) {
	stats, err := s.Stats(ctx)
	if err != nil {
		return nil, err
	}
	result := newStoreStatsResult(s.Identity(), &stats, sharedStates)
	result.URL = s.url
	return result, nil
}

// checkShared reads all records of the store at a location. What else there is the
// database sees to.
func checkShared(ctx context.Context, at storeLocation) (*storeCheckResult, error) {
	s, err := openStore(ctx, at)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }() // it was only read
	records, findings := 0, []string(nil)
	err = s.Each(ctx, func(r store.Record) error {
		records++
		if wrong := wrongRecord(&r); wrong != "" {
			findings = append(findings, fmt.Sprintf("record %v of call %s of %s: %s", r.Key, r.CallID, r.Method, wrong))
		}
		return nil
	})
	return newStoreCheckResult(records, findings), err
}

// wrongRecord says what is wrong with a record, nothing if nothing is.
func wrongRecord(r *store.Record) string {
	switch r.State {
	case store.InProgress, store.Interrupted:
		if r.Token == 0 {
			return "it was begun, and has no token"
		}
	case store.Completed, store.Failed, store.Parked:
		if r.Retained && len(r.Payload) != r.Size {
			return fmt.Sprintf("what it ended with is %d bytes long, and should be %d", len(r.Payload), r.Size)
		}
		if r.Retained && sha256.Sum256(r.Payload) != r.Digest {
			return "what it ended with is not what was written: its digest is another"
		}
	case store.Tombstone:
	default:
		return fmt.Sprintf("there is no state %d", r.State)
	}
	return ""
}

// sweepShared forgets what is past its retention.
func sweepShared(ctx context.Context, at storeLocation) (int, error) {
	s, err := openStore(ctx, at)
	if err != nil {
		return 0, err
	}
	shared, ok := s.(*sharedInspector)
	if !ok {
		return 0, fmt.Errorf("%s is not shared", at)
	}
	n, err := shared.Sweep(ctx)
	return n, firstError(err, s.Close())
}
