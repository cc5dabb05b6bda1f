package boltstore

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
	"github.com/warren-rpc/warren/store/boltstore/internal/journal"
)

// maxFindings is how many findings a Check returns, at most.
const maxFindings = 100

// Report is what a [Check] has found.
type Report struct {
	// Records is how many records could be read.
	Records int
	// Findings says what is wrong, one thing each and at most 100. Without any the
	// file is as the store has written it.
	Findings []string
}

var errEnough = errors.New("boltstore: enough findings")

func (r *Report) add(finding error) error {
	r.Findings = append(r.Findings, finding.Error())
	if len(r.Findings) >= maxFindings {
		return errEnough
	}
	return nil
}

// Check reads a whole file that nobody has open and says what is wrong with it: all
// pages, the structure of the database, each record, each entry of the index, and
// the counts. What is wrong with the pages hides what is wrong with the records. It
// changes nothing. The error says that it could not look: a *store.HeldError, a
// *store.VersionError, a *store.UnavailableError, ctx's, or that it is no store.
func Check(ctx context.Context, path string) (Report, error) {
	var report Report
	err := exists(path)
	if err == nil {
		err = check(ctx, path, &report)
	}
	var damage *store.CorruptError
	switch {
	case errors.Is(err, errEnough):
		err = nil
	case errors.As(err, &damage):
		_ = report.add(errors.New(damage.Detail)) // it is the last one in any case
		err = nil
	}
	return report, err
}

func check(ctx context.Context, path string, report *Report) (err error) {
	f := &file{path: path}
	db, err := openDB(f, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDB(db, f)) }()
	if err := verify(f, true, report.add); err != nil {
		return openError(path, err)
	}
	if len(report.Findings) > 0 {
		return nil // bbolt must not be led through such pages
	}
	err = f.in(db.View, func(tx *bbolt.Tx) error {
		if err := recognise(tx, path); err != nil || tx.Bucket(bucketKey) == nil {
			return err
		}
		if err := checkDatabase(tx, report); err != nil {
			return err
		}
		return checkRecords(ctx, f, tx, report)
	})
	if errors.Is(err, errEnough) || (ctx.Err() != nil && errors.Is(err, ctx.Err())) {
		return err
	}
	return openError(path, err)
}

// checkDatabase is bbolt's own check. It runs on a goroutine of bbolt's, which ends
// when all was received.
func checkDatabase(tx *bbolt.Tx, report *Report) (err error) {
	for finding := range tx.Check() {
		if err == nil {
			err = report.add(finding)
		}
	}
	return err
}

// checkRecords compares records, index, journal and counts.
func checkRecords(ctx context.Context, f *file, tx *bbolt.Tx, report *Report) error {
	j, _, err := f.readJournal(tx, report.add)
	if err != nil {
		return err
	}
	return compareRecords(ctx, tx, j, report)
}

func compareRecords(ctx context.Context, tx *bbolt.Tx, j *journal.Journal, report *Report) error {
	b, err := readBatch(tx, Options{Now: timeless}, j)
	if err == nil {
		err = b.open()
	}
	if err != nil {
		return err
	}
	c := census{batch: b, report: report}
	if err := c.countPlaced(ctx); err != nil {
		return err
	}
	if err := c.countJournaled(ctx, j.Keys()); err != nil {
		return err
	}
	if c.counts != b.counts {
		return report.add(integrity.Damaged("the head counts %v records by state, and there are %v", b.counts, c.counts))
	}
	return nil
}

// census counts the records of a file.
type census struct {
	batch  *batch
	report *Report
	counts [states]uint64
}

// count counts a record, or reports what is wrong with it.
func (c *census) count(r *stored, err error) error {
	if err != nil {
		return c.report.add(err)
	}
	c.report.Records++
	c.counts[c.batch.effective(r)]++
	return nil
}

// countPlaced counts the records of which the journal has no later version, and compares
// all with the index.
func (c *census) countPlaced(ctx context.Context) error {
	b := c.batch
	records, entries := 0, 0
	cursor := b.records.Cursor()
	for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := b.checkRecord(k, v)
		if err == nil {
			records++
			if _, later := b.journal.Get(r.Key); later {
				continue
			}
		}
		if err := c.count(&r, err); err != nil {
			return err
		}
	}
	cursor = b.index.Cursor()
	for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		entries++
		p, err := decodeEntry(k, v)
		if err == nil && b.records.Get(p[:]) == nil {
			err = errors.New("there is no such record")
		}
		if err != nil {
			if err := c.report.add(integrity.Damaged("the index entry of %x: %v", k, err)); err != nil {
				return err
			}
		}
	}
	if entries != records {
		return c.report.add(integrity.Damaged("the index has %d entries, and there are %d records", entries, records))
	}
	return nil
}

// countJournaled counts the records of which the journal has the latest version.
func (c *census) countJournaled(ctx context.Context, keys []store.Key) error {
	for _, key := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := c.batch.checkJournaled(key)
		if err := c.count(&r, err); err != nil {
			return err
		}
	}
	return nil
}

// checkJournaled decodes the latest version of a record in the journal.
func (b *batch) checkJournaled(key store.Key) (r stored, err error) {
	r, err = b.inJournal(key)
	if err == nil && r.epoch > b.epoch {
		err = integrity.Damaged("the journal: record %v has an owner of a later epoch", key)
	}
	if err == nil {
		_, err = b.locate(key)
	}
	return r, err
}

// checkRecord decodes a record and finds it by its key.
func (b *batch) checkRecord(k, v []byte) (r stored, err error) {
	p, r, err := decodeAt(k, v)
	if err != nil {
		return r, err
	}
	if p.minute() != minuteOf(r.Expires) {
		return r, integrity.Damaged("the record at %x expires at another time", p)
	}
	if r.epoch > b.epoch {
		return r, integrity.Damaged("the record at %x has an owner of a later epoch", p)
	}
	at, err := decodeEntry(r.Key[:], b.index.Get(r.Key[:]))
	if err != nil || at != p {
		return r, integrity.Damaged("the record at %x is not in the index", p)
	}
	return r, nil
}
