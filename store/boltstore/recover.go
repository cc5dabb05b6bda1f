package boltstore

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

// recover makes the database usable again after a commit that failed. bbolt takes a
// transaction for committed whose last sync failed, although the disk may not have
// it: nothing is built on it before the disk has. If bbolt lost its mapping of the
// file, it is opened again; if another process has taken the file meanwhile, this
// store has ended.
func (s *Store) recover() error {
	if !s.unconfirmed.Load() {
		return nil
	}
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	err := guard(func() error {
		tx, err := s.db.Begin(false)
		if err == nil {
			return tx.Rollback()
		}
		_ = s.db.Close() // of what is left of it
		db, err := openDB(s.file, false)
		if err == nil {
			s.db = db // else the next attempt finds the closed one
		}
		return err
	})
	if err == nil {
		err = s.confirm()
	}
	if c := corrupt(s.path, err); final(c) {
		s.fail(c)
		return c
	}
	s.unconfirmed.Store(err != nil)
	return err
}

// confirm has the disk confirm the file as it is, and makes that what readers may see.
func (s *Store) confirm() error {
	return s.file.in(s.db.View, func(tx *bbolt.Tx) error {
		j, area, err := s.file.readJournal(tx, firstDamage)
		if err != nil {
			return err
		}
		b, err := readBatch(tx, s.opts, j)
		if err != nil {
			return err
		}
		if b.epoch != s.epoch {
			return &store.HeldError{Path: s.path, Holder: readHolder(s.path)}
		}
		if err := errors.Join(s.file.rewrite(j, area), s.file.confirm()); err != nil {
			return err
		}
		s.shownMu.Lock()
		defer s.shownMu.Unlock()
		s.journal, s.area = j, area
		s.publish(b.head, uint64(tx.ID()))
		return nil
	})
}
