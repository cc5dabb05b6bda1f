package boltstore

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

// bbolt builds on a commit whose last sync has failed, and takes for free what only the
// commit before needs. A machine that fails then is left with that commit, and without its
// pages: unless the meta page is written again before, as file.confirm does.
func TestCommitThatTheDiskDoesNotHaveMustNotBeBuiltOn(t *testing.T) {
	t.Parallel()
	path, last := sample(t, settings["no journal"])
	commit := func() []byte {
		t.Helper()
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error { // writes every second record again, as it is
			records, i := tx.Bucket(recordsKey), 0
			c := records.Cursor()
			for k, v := c.First(); k != nil; k, v = c.Next() {
				if i++; i%2 == 0 {
					if err := records.Put(k, slices.Clone(v)); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	unconfirmed := commit()
	next := commit() // has written its pages, and not its meta page, when the machine fails
	const pageSize = 4096
	check := func(metaPages []byte) []string {
		t.Helper()
		onDisk := slices.Concat(metaPages[:2*pageSize], next[2*pageSize:])
		if err := os.WriteFile(path, onDisk, 0o600); err != nil {
			t.Fatal(err)
		}
		report, err := Check(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return report.Findings
	}
	if findings := check(last); len(findings) == 0 {
		t.Error("bbolt has left the pages of the last confirmed commit alone: file.confirm may not be needed any more")
	}
	if findings := check(unconfirmed); len(findings) > 0 {
		t.Errorf("with the meta page on the disk: %v", findings)
	}
}

// After a commit that may not be on the disk none is made before the disk has confirmed it.
func TestNothingIsCommittedBeforeTheDiskHasConfirmed(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, Options{SweepEvery: -1})
	r := must(t, s, numbered(1))
	readOnly, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = readOnly.Close() }()
	writable := s.file.f.Swap(readOnly)
	s.committing.Lock()
	s.unconfirmed.Store(true)
	s.committing.Unlock()
	before := s.durable.Load()
	for range 3 {
		err := s.Complete(context.Background(), r.Key, r.Token, done, 1)
		if !errors.As(err, new(*store.UnavailableError)) || s.durable.Load() != before {
			t.Errorf("Complete: %v, transaction %d after %d", err, s.durable.Load(), before)
		}
	}
	s.file.f.Store(writable)
	complete(t, s, r)
}
