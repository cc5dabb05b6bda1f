package boltstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

const damagedRecords = 150

// sample returns a file with records in the journal, if it has one, records that have a
// place, and some of which the journal has a later version, or says where they are.
func sample(t *testing.T, o Options) (path string, content []byte) {
	t.Helper()
	path = newPath(t)
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	err = s.db.Update(func(tx *bbolt.Tx) error { return effect(tx, numbered(0)) })
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, 0, damagedRecords/3)
	var claimed []store.Record
	for i := damagedRecords / 3; i < damagedRecords*2/3; i++ {
		claimed = append(claimed, must(t, s, numbered(i)))
	}
	if n, err := s.Sweep(t.Context()); err != nil || n != 0 || s.journal.Versions() != 0 {
		t.Fatalf("Sweep: %d, error %v; the journal has %d versions", n, err, s.journal.Versions())
	}
	for i := 0; i < len(claimed); i += 2 {
		if err := s.Complete(t.Context(), claimed[i].Key, claimed[i].Token, resultOf(i), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, s, damagedRecords*2/3, damagedRecords)
	abandoned(t, s) // so that the journal has what it has
	content, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

// resultOf is the end of a record: some need pages of their own, and some are too
// large for the journal.
func resultOf(i int) store.Result {
	return store.Result{State: store.Completed, Payload: []byte(strings.Repeat("reply ", 20+i%7*500))}
}

// fill makes records, every second of them completed.
func fill(t testing.TB, s *Store, from, to int) {
	t.Helper()
	each(to-from, func(i int) {
		i += from
		r, won, err := s.Claim(context.Background(), claimOf(numbered(i)))
		if err == nil && won && i%2 == 0 {
			err = s.Complete(context.Background(), r.Key, r.Token, resultOf(i), time.Hour)
		}
		if err != nil || !won {
			t.Errorf("record %d: won %v, error %v", i, won, err)
		}
	})
}

// each calls f with 0 to n-1, on several goroutines.
func each(n int, f func(i int)) {
	const workers = 32
	done := make(chan struct{})
	for w := range workers {
		go func() {
			for i := w; i < n; i += workers {
				f(i)
			}
			done <- struct{}{}
		}()
	}
	for range workers {
		<-done
	}
}

// closedOver reports whether err is what a store answers that has found damage.
func closedOver(err error, path string) bool {
	var corrupt *store.CorruptError
	return errors.As(err, &corrupt) && corrupt.Repair == "warren store check "+path && corrupt.Path == path
}

// notAStore reports whether err says that the file is a database, and not one of this
// store: what holds its name or its version may be damaged, too.
func notAStore(err error) bool {
	return errors.Is(err, errForeign) || errors.As(err, new(*store.VersionError))
}

// survey opens a file that may be damaged and asks for all that it had. It fails
// the test if a record is told to be what it was not, and reports whether the
// damage was found.
func survey(t *testing.T, o Options, path, what string) (found bool) {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		if !closedOver(err, path) && !notAStore(err) {
			t.Errorf("%s: Open: %v", what, err)
		}
		return true
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("%s: Close: %v", what, err)
		}
	}()
	for i := range damagedRecords {
		r, err := s.Get(t.Context(), numbered(i))
		if err != nil {
			if !closedOver(err, path) {
				t.Errorf("%s: Get: %v", what, err)
			}
			if _, _, err := s.Claim(t.Context(), claimOf(numbered(-1))); !closedOver(err, path) {
				t.Errorf("%s: a claim after it was found: %v", what, err)
			}
			return true
		}
		want := store.Interrupted
		if i%2 == 0 {
			want = store.Completed
		}
		if r.State != want {
			t.Errorf("%s: record %d is %v; want %v", what, i, r.State, want)
		}
	}
	if _, err := s.Sweep(t.Context()); err != nil {
		return true
	}
	_, _, err = s.Claim(t.Context(), claimOf(numbered(-1)))
	return err != nil
}

// A file with one bit changed anywhere that is in use is refused, or answers as if
// nothing had happened; it never crashes, and no record is lost or changed.
func TestFlippedBitsAreFoundOrHarmless(t *testing.T) {
	t.Parallel()
	inBothSettings(t, func(t *testing.T, o Options) { flipBits(t, o, o) })
	t.Run("journal that is given up", func(t *testing.T) {
		t.Parallel()
		flipBits(t, settings["journal"], settings["no journal"])
	})
}

// flipBits flips bits of a file that was written with some options, and then opens it with
// others.
func flipBits(t *testing.T, written, opened Options) {
	path, content := sample(t, written)
	from, to := lastEntry(t, path)
	found, checked := 0, 0
	const flips = 200
	random := rand.New(rand.NewPCG(1, 2))
	for range flips {
		at, bit := random.IntN(len(content)), random.IntN(8)
		if inLeafCount(content, at) || at >= from && at < to {
			continue // see the next test, and TestDamagedJournalIsFound
		}
		flipped := slices.Clone(content)
		flipped[at] ^= 1 << bit
		if err := os.WriteFile(path, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("bit %d of byte %d", bit, at)
		report, err := Check(t.Context(), path)
		if err != nil && !notAStore(err) {
			t.Errorf("%s: Check: %v", what, err)
		}
		byCheck := err != nil || len(report.Findings) > 0
		if byCheck {
			checked++
		}
		if survey(t, opened, path, what) {
			found++
			if !byCheck {
				t.Errorf("%s: the store was refused, and Check has found nothing", what)
			}
		}
	}
	if found < flips/10 || checked < found {
		t.Errorf("of %d changes %d were found, and %d by Check", flips, found, checked)
	}
}

// lastEntry returns where in a file the last entry of its journal lies.
func lastEntry(t *testing.T, path string) (from, to int) {
	t.Helper()
	r, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	err = r.view(func(tx *bbolt.Tx) error {
		_, area, err := r.file.readJournal(tx, firstDamage)
		entry, offset := r.journal.Last()
		from = int(area) + offset
		to = from + len(entry)
		return err
	})
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return from, to
}

// inLeafCount reports whether the byte is of the number of elements in a leaf.
func inLeafCount(content []byte, at int) bool {
	const pageSize = 4096
	page := content[at/pageSize*pageSize:]
	return at%pageSize >= 8 && at%pageSize < 12 && native.Uint16(page[8:]) == leafPage
}

func TestCheckFindsALeafThatHidesRecords(t *testing.T) {
	t.Parallel()
	inBothSettings(t, func(t *testing.T, o Options) {
		path, content := sample(t, o)
		hidden := 0
		m, ok := parseMeta(content)
		if !ok {
			t.Fatal("no meta page")
		}
		for at := 2 * int(m.pageSize); at < int(m.size()); at += int(m.pageSize) {
			count := native.Uint16(content[at+10:])
			if native.Uint16(content[at+8:]) != leafPage || count < 2 {
				continue
			}
			less := slices.Clone(content)
			native.PutUint16(less[at+10:], count-1)
			if err := os.WriteFile(path, less, 0o600); err != nil {
				t.Fatal(err)
			}
			report, err := Check(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Findings) > 0 {
				hidden++
			}
		}
		if hidden < 10 {
			t.Errorf("%d leaves were found that hide a record", hidden)
		}
	})
}

func TestTruncatedFileIsRefused(t *testing.T) {
	t.Parallel()
	inBothSettings(t, func(t *testing.T, o Options) {
		path, content := sample(t, o)
		m, err := readMeta(strings.NewReader(string(content)))
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int64{1, 100, 4095, 4096, 8192, 12288, m.size() / 3, m.size() / 2, m.size() - 4096, m.size() - 1} {
			if err := os.WriteFile(path, content[:size], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(path, o); !closedOver(err, path) {
				t.Errorf("Open of %d of %d bytes: %v", size, m.size(), err)
			}
			if report, err := Check(t.Context(), path); err != nil || len(report.Findings) == 0 {
				t.Errorf("Check of %d of %d bytes: %v, error %v", size, m.size(), report.Findings, err)
			}
			if _, err := OpenReadOnly(path); !closedOver(err, path) {
				t.Errorf("OpenReadOnly of %d of %d bytes: %v", size, m.size(), err)
			}
		}
	})
}

func TestFileWithoutMetaPagesIsRefused(t *testing.T) {
	t.Parallel()
	inBothSettings(t, func(t *testing.T, o Options) {
		path, content := sample(t, o)
		for name, change := range map[string]func(b []byte){
			"zeros":  func(b []byte) { clear(b[:8192]) },
			"noise":  func(b []byte) { copy(b, strings.Repeat("noise", 2000)) },
			"bodies": func(b []byte) { b[20]++; b[4096+20]++ },
		} {
			b := slices.Clone(content)
			change(b)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(path, o); !closedOver(err, path) {
				t.Errorf("%s: Open: %v", name, err)
			}
			if report, err := Check(t.Context(), path); err != nil || len(report.Findings) == 0 {
				t.Errorf("%s: Check: %v, error %v", name, report.Findings, err)
			}
		}
	})
}

// What happens to the file while the store has it ends the store, not the process.
func TestFileThatIsDamagedWhileItIsOpen(t *testing.T) {
	t.Parallel()
	changes := map[string]func(f *os.File, size int64) error{
		"cut to nothing": func(f *os.File, _ int64) error { return f.Truncate(0) },
		// Of what is in use: up to half of the file may be room to grow.
		"cut in half": func(f *os.File, _ int64) error {
			m, err := readMeta(f)
			if err != nil {
				return err
			}
			return f.Truncate(m.size() / 2)
		},
		"overwritten": func(f *os.File, size int64) error {
			_, err := f.WriteAt(make([]byte, size-8192), 8192)
			return err
		},
		"without the last meta page": func(f *os.File, _ int64) error {
			m, err := readMeta(f)
			if err != nil {
				return err
			}
			_, err = f.WriteAt(make([]byte, m.pageSize), int64(m.txid%metaPages)*m.pageSize)
			return err
		},
		"without meta pages": func(f *os.File, _ int64) error {
			_, err := f.WriteAt(make([]byte, 8192), 0)
			return err
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBothSettings(t, func(t *testing.T, o Options) { damageWhileOpen(t, o, change) })
		})
	}
}

func damageWhileOpen(t *testing.T, o Options, change func(f *os.File, size int64) error) {
	path, content := sample(t, o)
	s := open(t, path, o)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(change(f, int64(len(content))), f.Close()); err != nil {
		t.Fatal(err)
	}
	each(damagedRecords, func(i int) {
		_, getErr := s.Get(context.Background(), numbered(i))
		_, _, claimErr := s.Claim(context.Background(), claimOf(numbered(-i-1)))
		if !closedOver(getErr, path) && getErr != nil || !closedOver(claimErr, path) {
			t.Errorf("Get: %v; Claim: %v", getErr, claimErr)
		}
	})
	if _, err := s.Get(t.Context(), numbered(1)); !closedOver(err, path) {
		t.Errorf("Get: %v", err)
	}
	shut(t, s)
	if _, err := s.Get(t.Context(), numbered(1)); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Get after Close: %v", err)
	}
}

// A page of the application's own that cannot be read is a damage like any other.
func TestFunctionThatMeetsAMissingPage(t *testing.T) {
	t.Parallel()
	inBothSettings(t, func(t *testing.T, o Options) {
		path, content := sample(t, o)
		s := open(t, path, o)
		r := must(t, s, numbered(-1))
		err := s.Transact(t.Context(), r.Key, r.Token, time.Hour, func(tx *bbolt.Tx) (store.Result, error) {
			if err := os.Truncate(path, int64(len(content))/8); err != nil {
				return done, err
			}
			return done, tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
				return b.ForEach(func(k, v []byte) error {
					if integrity.Sum(k, v) == 0 { // reads them
						return errOwn
					}
					return nil
				})
			})
		})
		if !closedOver(err, path) {
			t.Errorf("Transact: %v", err)
		}
	})
}
