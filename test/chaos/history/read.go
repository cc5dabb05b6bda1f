package history

import (
	"fmt"
	"iter"
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
