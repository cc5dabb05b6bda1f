package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"sync/atomic"

	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

// file is bbolt's file, read without bbolt: that maps it into memory, where a page
// that is damaged or missing is met by a panic, and at some places with its locks
// held, which then stay so.
type file struct {
	path string
	f    atomic.Pointer[os.File]
	// last is the last transaction that is known to be whole, and pageSize the size of
	// its pages; 0 if nobody knows.
	last, pageSize atomic.Int64
	// stuck says that bbolt has been left locked, and cannot be closed.
	stuck atomic.Bool
}

// open is bbolt's way to the file, and keeps the handle. It makes none: bbolt would
// take for new what was there a moment ago.
func (f *file) open(name string, flag int, mode os.FileMode) (*os.File, error) {
	h, err := os.OpenFile(name, flag&^os.O_CREATE, mode) //nolint:gosec // the path is the caller's
	if err == nil {
		f.f.Store(h)
	}
	return h, err
}

// The format of bbolt's pages, version 2: numbers are in the order of the machine.
const (
	pageHeader     = 16 // id, flags, count, overflow
	metaLength     = 64
	elementLength  = 16 // of branch and leaf pages alike
	bucketLength   = 16 // root, sequence
	branchPage     = 0x01
	leafPage       = 0x02
	freelistPage   = 0x10
	bucketElement  = 0x01
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	noFreelist     = ^uint64(0)
	manyFree       = 0xFFFF // the count is the first number of the page then
	smallestPage   = 1024
	largestPage    = 1 << 24
	firstDataPage  = 2
	metaPages      = 2
	metaFieldsRead = pageHeader + metaLength
)

var native = binary.NativeEndian

// meta is what a meta page says.
type meta struct {
	pageSize             int64
	root, freelist, next uint64 // pages; next is the first that was never used
	txid                 uint64
}

// size is how many bytes of the file have been used.
func (m meta) size() int64 { return int64(m.next) * m.pageSize }

// parseMeta reads a meta page, and reports whether it is one.
func parseMeta(page []byte) (m meta, ok bool) {
	if len(page) < metaFieldsRead {
		return m, false
	}
	b := page[pageHeader:metaFieldsRead]
	h := fnv.New64a()
	_, _ = h.Write(b[:metaLength-8]) // it never fails
	if native.Uint32(b) != boltMagic || native.Uint32(b[4:]) != boltVersion || native.Uint64(b[56:]) != h.Sum64() {
		return m, false
	}
	m = meta{
		pageSize: int64(native.Uint32(b[8:])), root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]),
		next: native.Uint64(b[40:]), txid: native.Uint64(b[48:]),
	}
	valid := m.pageSize >= smallestPage && m.pageSize <= largestPage && m.next >= 4 && m.next < 1<<40
	return m, valid
}

// readMeta returns the meta page that counts: the later of those that are whole.
func readMeta(r io.ReaderAt) (m meta, err error) {
	var b [metaFieldsRead]byte
	found := false
	look := func(at int64) {
		n, failed := r.ReadAt(b[:], at)
		if failed != nil && !errors.Is(failed, io.EOF) {
			err = failed
		}
		if other, ok := parseMeta(b[:n]); ok && (!found || other.txid > m.txid) {
			m, found = other, true
		}
	}
	look(0)
	if found {
		look(m.pageSize)
	}
	for at := int64(smallestPage); at <= largestPage && !found; at *= 2 {
		look(at)
	}
	if err == nil && !found {
		err = integrity.Damaged("no meta page of the file is whole")
	}
	return m, err
}

// meta returns the meta page that counts, in a file that is as long as it says.
func (f *file) meta() (meta, error) {
	h := f.f.Load()
	m, err := readMeta(h)
	if err != nil {
		return m, err
	}
	return m, longEnough(h, m)
}

// intact returns a damage if bbolt could not begin a transaction.
func (f *file) intact() error {
	if txid := f.last.Load(); txid > 0 {
		if m, err := f.metaOf(uint64(txid)); err == nil && longEnough(f.f.Load(), m) == nil {
			return nil
		}
	}
	_, err := f.meta()
	return err
}

// metaOf returns the meta page that a transaction has written.
func (f *file) metaOf(txid uint64) (m meta, err error) {
	var b [metaFieldsRead]byte
	if _, err := f.f.Load().ReadAt(b[:], int64(txid%metaPages)*f.pageSize.Load()); err != nil {
		return m, err
	}
	m, ok := parseMeta(b[:])
	if !ok || m.txid != txid {
		return m, integrity.Damaged("the meta page of transaction %d is not whole", txid)
	}
	return m, nil
}

// longEnough returns a damage if a file is shorter than its meta page says.
func longEnough(h *os.File, m meta) error {
	info, err := h.Stat()
	if err == nil && info.Size() < m.size() {
		err = integrity.Damaged("the file has been truncated: it has %d of %d bytes", info.Size(), m.size())
	}
	return err
}

// append writes an entry of the journal to where it belongs, and has the disk confirm it.
func (f *file) append(entry []byte, at int64, sync func() error) error {
	if _, err := f.f.Load().WriteAt(entry, at); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return sync()
}

// confirm has the disk confirm the last commit that the file shows, before another one is
// built on it. After a sync that failed a system may take for written what is not, and sync
// nothing the next time; so the meta page is written once more, as it is. See
// docs/decisions/0017-the-meta-page-is-written-again.md.
func (f *file) confirm() error {
	h := f.f.Load()
	m, err := f.meta()
	if err != nil {
		return err
	}
	page := make([]byte, m.pageSize)
	at := int64(m.txid%metaPages) * m.pageSize
	if _, err := h.ReadAt(page, at); err != nil {
		return fmt.Errorf("read the meta page: %w", err)
	}
	if _, err := h.WriteAt(page, at); err != nil {
		return fmt.Errorf("write the meta page: %w", err)
	}
	return h.Sync()
}
