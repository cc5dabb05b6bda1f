package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
)

// Events is a history: one file after the other, the events of each in its order.
// It may be iterated over more than once and yields what is there at that time. An
// error ends it.
type Events = iter.Seq2[Event, error]

// Of returns the events as a history.
func Of(events ...Event) Events {
	return func(yield func(Event, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Files returns the paths of the logs in a run's folder, sorted.
func Files(folder string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*"+suffix))
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	slices.Sort(paths)
	return paths, nil
}

// ReadFolder reads all logs of a run's folder: those that are there when the
// iteration begins.
func ReadFolder(folder string) Events {
	return func(yield func(Event, error) bool) {
		paths, err := Files(folder)
		if err == nil && len(paths) == 0 {
			err = fmt.Errorf("history: %s has no file *%s", folder, suffix)
		}
		if err != nil {
			yield(Event{}, err)
			return
		}
		Read(paths...)(yield)
	}
}

// Read reads logs. The last line of each is left out if it has no end: its process
// is writing it, or was killed while it did, and its Append has not returned. Any
// other line that is not an event is an error, which names file and line.
func Read(paths ...string) Events {
	return func(yield func(Event, error) bool) {
		for _, path := range paths {
			if !readFile(path, yield) {
				return
			}
		}
	}
}

// maxLine is in bytes. A history's lines have a few hundred: one that is longer is
// not a history.
const maxLine = 16 << 20

func readFile(path string, yield func(Event, error) bool) (more bool) {
	file, err := os.Open(path)
	if err != nil {
		yield(Event{}, fmt.Errorf("history: %w", err))
		return false
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 256<<10)
	for number := 1; ; number++ {
		line, err := readLine(r)
		if errors.Is(err, io.EOF) {
			return true // with what is torn, if anything
		}
		var e Event
		if err == nil {
			err = json.Unmarshal(line, &e)
		}
		if err == nil && e.Kind == "" {
			err = errors.New("it has no kind")
		}
		if err != nil {
			yield(Event{}, fmt.Errorf("history: %s:%d: %w", path, number, err))
			return false
		}
		if !yield(e, nil) {
			return false
		}
	}
}

// readLine returns the next line that has an end, which is valid until the next
// read, or io.EOF.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	long := slices.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(long) > maxLine {
			return nil, fmt.Errorf("a line is longer than %d bytes", maxLine)
		}
		line, err = r.ReadSlice('\n')
		long = append(long, line...)
	}
	return long, err
}
