package broker

import "slices"

// fifo is a queue that reuses its room. The zero value is empty.
type fifo[T any] struct {
	items []T // from head on
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }

func (f *fifo[T]) push(item T) {
	if len(f.items) == cap(f.items) && f.head > len(f.items)/2 {
		f.shift()
	}
	f.items = append(f.items, item)
}

// pop removes the first item of a queue that is not empty.
func (f *fifo[T]) pop() T {
	var none T
	item := f.items[f.head]
	f.items[f.head] = none
	if f.head++; f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	}
	return item
}

// waiting returns the items in their order. It is good until the next push.
func (f *fifo[T]) waiting() []T { return f.items[f.head:] }

// cut removes all after the first n.
func (f *fifo[T]) cut(n int) {
	clear(f.items[f.head+n:])
	f.items = f.items[:f.head+n]
}

// remove removes the items for which unwanted reports true.
func (f *fifo[T]) remove(unwanted func(T) bool) {
	f.shift()
	f.items = slices.DeleteFunc(f.items, unwanted)
}

func (f *fifo[T]) shift() {
	f.items = slices.Delete(f.items, 0, f.head)
	f.head = 0
}
