package boltstore

import (
	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

// recover makes the database usable again after a commit that failed. bbolt takes a
// transaction for committed whose last sync failed, although the disk may not have
// it: nothing is built on it before the disk has. If bbolt lost its mapping of the
// file, it is opened again; if another process has taken the file meanwhile, this
// store has ended.
func (s *Store) recover() error {
	if !s.unconfirmed {
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
	s.unconfirmed = err != nil
	return err
}

// confirm has the disk confirm the file as it is, and makes that what readers may see.
func (s *Store) confirm() error {
	if err := s.file.confirm(); err != nil {
		return err
	}
	return s.file.in(s.db.View, func(tx *bbolt.Tx) error {
		t, err := tableOf(tx)
		if err != nil {
			return err
		}
		h, err := t.head()
		if err != nil {
			return err
		}
		if h.epoch != s.epoch {
			return &store.HeldError{Path: s.path, Holder: readHolder(s.path)}
		}
		j, err := readJournal(tx, firstDamage)
		if err != nil {
			return err
		}
		s.shownMu.Lock()
		defer s.shownMu.Unlock()
		s.journal = j
		s.publish(h, uint64(tx.ID()))
		return nil
	})
}
