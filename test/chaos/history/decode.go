package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
)

const (
	// blockSize is how many bytes are decoded at a time, and a line that is longer.
	blockSize = 128 << 10
	// maxLine is in bytes. A history's lines have a few hundred: one that is longer is
	// not a history.
	maxLine = 16 << 20
)

// block is some lines of a file, which one goroutine decodes.
type block struct {
	lines  []byte
	first  int // the number of its first line
	events []Event
	err    error
	done   chan struct{} // closed when events and err are set
}

// readFile yields the events of a file in their order, and decodes them on all
// processors, since that is most of the work of judging a run.
func readFile(path string, yield func(Event, error) bool) (more bool) {
	file, err := os.Open(path)
	if err != nil {
		yield(Event{}, fmt.Errorf("history: %w", err))
		return false
	}
	defer file.Close()
	blocks, stop := make(chan *block, runtime.GOMAXPROCS(0)), make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		defer close(blocks)
		split(file, path, func(b *block) bool {
			b.done = make(chan struct{})
			work.Go(func() { b.decode(path) })
			select {
			case blocks <- b:
				return true
			case <-stop:
				return false
			}
		})
	})
	defer work.Wait()
	defer close(stop)
	for b := range blocks {
		<-b.done
		for i := range b.events {
			if !yield(b.events[i], nil) {
				return false
			}
		}
		if b.err != nil {
			yield(Event{}, b.err)
			return false
		}
	}
	return true
}

// split gives out the lines that have an end, in blocks, until it is told that no
// more are wanted.
func split(r io.Reader, path string, give func(*block) bool) {
	next, rest := 1, []byte(nil)
	for {
		text := make([]byte, max(blockSize, 2*len(rest)))
		n := copy(text, rest)
		got, err := io.ReadFull(r, text[n:])
		text = text[:n+got]
		end := bytes.LastIndexByte(text, '\n') + 1
		b := &block{lines: text[:end], first: next}
		next += bytes.Count(b.lines, []byte{'\n'})
		rest = text[end:]
		over := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		switch {
		case err != nil && !over:
			b.err = fmt.Errorf("history: %w", err)
		case len(rest) > maxLine:
			b.err = fmt.Errorf("history: %s:%d: the line is longer than %d bytes", path, next, maxLine)
		}
		over = over || b.err != nil // from here on the block is its decoder's
		if !give(b) || over {
			return // what is left of the rest is torn
		}
	}
}

// decode leaves an error that is there already to those who have seen all before it.
func (b *block) decode(path string) {
	defer close(b.done)
	number := b.first
	for line := range bytes.Lines(b.lines) {
		var e Event
		err := json.Unmarshal(line, &e)
		if err == nil && e.Kind == "" {
			err = errors.New("it has no kind")
		}
		if err != nil {
			b.err = fmt.Errorf("history: %s:%d: %w", path, number, err)
			return
		}
		b.events = append(b.events, e)
		number++
	}
}
