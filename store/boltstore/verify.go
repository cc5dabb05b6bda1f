package boltstore

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

// firstDamage stops verify at the first finding and makes it the error.
func firstDamage(err error) error { return err }

// verify reads a file page by page, and tells report what is wrong with it; it goes
// on as long as report returns nil, and then returns what report did. It is not
// deceived by any content: each page is read once, and numbers are compared with
// their bounds before they are used.
//
// If deep is false it reads the free list and the branch pages of the store's own
// buckets, a hundredth of the file, so that what bbolt follows leads to pages of
// the file, each of them once. If it is true it reads all pages in use.
func verify(f *file, deep bool, report func(error) error) error {
	v, err := newVerifier(f)
	if err != nil {
		return report(err)
	}
	v.deep, v.report = deep, report
	m := v.meta
	if m.freelist != noFreelist {
		if err := v.freelist(); err != nil {
			return err
		}
	}
	if err := v.tree(m.root, nil, v.topLevel); err != nil {
		return err
	}
	if !deep {
		return nil
	}
	return v.unaccounted()
}

func newVerifier(f *file) (*verifier, error) {
	m, err := f.meta()
	if err != nil {
		return nil, err
	}
	v := &verifier{file: f, meta: m, report: firstDamage, free: newPageSet(m.next), seen: newPageSet(m.next)}
	for page := range uint64(metaPages) {
		v.seen.add(page)
	}
	return v, nil
}

// freePages returns how many pages are free.
func freePages(f *file) (int, error) {
	v, err := newVerifier(f)
	if err != nil {
		return 0, err
	}
	err = v.freelist()
	return v.free.size(), err
}

// pageSet is a set of the pages of a file.
type pageSet []uint64

func newPageSet(pages uint64) pageSet { return make(pageSet, pages/64+1) }

func (s pageSet) has(page uint64) bool { return s[page/64]&(1<<(page%64)) != 0 }
func (s pageSet) add(page uint64)      { s[page/64] |= 1 << (page % 64) }

func (s pageSet) size() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

type verifier struct {
	file       *file
	meta       meta
	deep       bool
	report     func(error) error
	free, seen pageSet
}

// page is one page with what follows it.
type page struct {
	id    uint64
	flags uint16
	count int
	b     []byte
}

// read returns a page that was not read before.
func (v *verifier) read(id uint64) (p page, err error) {
	if err := v.visit(id, 0); err != nil {
		return p, err
	}
	header := make([]byte, v.meta.pageSize)
	h := v.file.f.Load()
	if _, err := h.ReadAt(header, int64(id)*v.meta.pageSize); err != nil {
		return p, fmt.Errorf("read page %d: %w", id, err)
	}
	overflow := uint64(native.Uint32(header[12:]))
	p = page{id: id, flags: native.Uint16(header[8:]), count: int(native.Uint16(header[10:])), b: header}
	if native.Uint64(header) != id || overflow >= v.meta.next-id {
		return p, integrity.Damaged("page %d: its header is wrong", id)
	}
	if overflow > 0 {
		if err := v.visit(id+1, overflow-1); err != nil {
			return p, err
		}
		p.b = make([]byte, (int64(overflow)+1)*v.meta.pageSize)
		if _, err := h.ReadAt(p.b, int64(id)*v.meta.pageSize); err != nil {
			return p, fmt.Errorf("read page %d: %w", id, err)
		}
	}
	return p, nil
}

// visit marks a page, and as many after it, as read.
func (v *verifier) visit(id, after uint64) error {
	if id < firstDataPage || id >= v.meta.next || after >= v.meta.next-id {
		return integrity.Damaged("page %d: it is used, and not of the file", id)
	}
	for ; ; id, after = id+1, after-1 {
		if v.seen.has(id) {
			return integrity.Damaged("page %d: it is used twice", id)
		}
		if v.free.has(id) {
			return integrity.Damaged("page %d: it is used, and in the free list", id)
		}
		v.seen.add(id)
		if after == 0 {
			return nil
		}
	}
}

func (v *verifier) freelist() error {
	p, err := v.read(v.meta.freelist)
	if err != nil {
		return v.report(err)
	}
	if p.flags != freelistPage {
		return v.report(integrity.Damaged("page %d: it is not the free list", p.id))
	}
	ids := p.b[pageHeader:]
	count := uint64(p.count)
	if count == manyFree {
		count, ids = native.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return v.report(integrity.Damaged("the free list is longer than its pages"))
	}
	previous := uint64(firstDataPage - 1)
	for i := range count {
		id := native.Uint64(ids[8*i:])
		if id <= previous || id >= v.meta.next || v.seen.has(id) {
			return v.report(integrity.Damaged("the free list: page %d", id))
		}
		v.free.add(id)
		previous = id
	}
	return nil
}

// element is one of a page: a branch has a child, a leaf a value.
type element struct {
	key, value []byte
	child      uint64
	bucket     bool
}

// elements returns what a branch or leaf page holds, in order.
func (p page) elements() ([]element, error) {
	list := make([]element, 0, p.count)
	next := p.count * elementLength // where the first key lies: bbolt leaves no gap
	for i := range p.count {
		at := pageHeader + i*elementLength
		if at+elementLength > len(p.b) {
			return nil, integrity.Damaged("page %d: it has more elements than room", p.id)
		}
		b := p.b[at:]
		var e element
		var position, keys, values uint64
		if p.flags == branchPage {
			position, keys, e.child = uint64(native.Uint32(b)), uint64(native.Uint32(b[4:])), native.Uint64(b[8:])
		} else {
			e.bucket = native.Uint32(b)&bucketElement != 0
			position, keys, values = uint64(native.Uint32(b[4:])), uint64(native.Uint32(b[8:])), uint64(native.Uint32(b[12:]))
		}
		if position+keys+values > uint64(len(b)) {
			return nil, integrity.Damaged("page %d: element %d ends behind it", p.id, i)
		}
		if position != uint64(next-i*elementLength) {
			return nil, integrity.Damaged("page %d: element %d is not where it should be", p.id, i)
		}
		next += int(keys + values)
		e.key, e.value = b[position:position+keys], b[position+keys:position+keys+values]
		if i > 0 && bytes.Compare(list[i-1].key, e.key) >= 0 {
			return nil, integrity.Damaged("page %d: its keys are not in order", p.id)
		}
		list = append(list, e)
	}
	return list, nil
}

// tree reads the tree under a page and calls bucket for the buckets in its leaves.
// If bucket is nil its leaves are not read, but for one under each branch, which
// tells that the others are leaves too. first is the least key that it may have.
func (v *verifier) tree(root uint64, first []byte, bucket func(name, value []byte) error) error {
	_, err := v.subtree(root, first, bucket)
	return err
}

func (v *verifier) subtree(id uint64, first []byte, bucket func(name, value []byte) error) (leaf bool, err error) {
	p, err := v.read(id)
	if err != nil {
		return false, v.report(err)
	}
	if p.flags != branchPage && p.flags != leafPage {
		return false, v.report(integrity.Damaged("page %d: it is neither branch nor leaf", id))
	}
	list, err := p.elements()
	if err != nil {
		return false, v.report(err)
	}
	if len(list) > 0 && bytes.Compare(list[0].key, first) < 0 {
		return false, v.report(integrity.Damaged("page %d: its keys come before those of its branch", id))
	}
	if p.flags == leafPage {
		return true, v.buckets(list, bucket)
	}
	leaves := false
	for _, e := range list {
		if leaves && bucket == nil {
			if err := v.visit(e.child, 0); err != nil {
				if err := v.report(err); err != nil {
					return false, err
				}
			}
			continue
		}
		if leaves, err = v.subtree(e.child, e.key, bucket); err != nil {
			return false, err
		}
	}
	return false, nil
}

func (v *verifier) buckets(list []element, bucket func(name, value []byte) error) error {
	for _, e := range list {
		if !e.bucket || bucket == nil {
			continue
		}
		if len(e.value) < bucketLength {
			if err := v.report(integrity.Damaged("the bucket %q has no root", e.key)); err != nil {
				return err
			}
			continue
		}
		if err := bucket(e.key, e.value); err != nil {
			return err
		}
	}
	return nil
}

// topLevel reads the buckets of the file: if it is not deep, the store's alone.
func (v *verifier) topLevel(name, value []byte) error {
	switch {
	case v.deep:
		return v.nested(value, v.topLevel)
	case bytes.HasPrefix(name, bucketKey):
		return v.nested(value, nil)
	}
	return nil
}

// nested reads the bucket whose header is value. One that lies in its parent's page
// has no buckets in it.
func (v *verifier) nested(value []byte, bucket func(name, value []byte) error) error {
	if root := native.Uint64(value); root != 0 {
		return v.tree(root, nil, bucket)
	}
	if len(value) < bucketLength+pageHeader {
		return v.report(integrity.Damaged("a bucket is shorter than its header"))
	}
	b := value[bucketLength:]
	p := page{flags: native.Uint16(b[8:]), count: int(native.Uint16(b[10:])), b: b}
	if p.flags != leafPage {
		return v.report(integrity.Damaged("a bucket without pages is not a leaf"))
	}
	if _, err := p.elements(); err != nil {
		return v.report(err)
	}
	return nil
}

// unaccounted reports pages that are neither used nor free.
func (v *verifier) unaccounted() error {
	if lost := int(v.meta.next) - v.seen.size() - v.free.size(); lost > 0 {
		return v.report(integrity.Damaged("%d pages are neither used nor free", lost))
	}
	return nil
}
