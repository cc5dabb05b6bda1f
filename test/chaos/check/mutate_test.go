package check

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/warren-rpc/warren/test/chaos/history"
)

// mutation changes one thing about a history. It may change the events in place,
// but not what they point to.
type mutation func(events []history.Event) []history.Event

func without(kind history.Kind, id string, nth int) mutation {
	return func(events []history.Event) []history.Event {
		i := index(events, kind, id, nth)
		return slices.Delete(events, i, i+1)
	}
}

func twice(kind history.Kind, id string) mutation {
	return func(events []history.Event) []history.Event {
		return append(events, events[index(events, kind, id, 0)])
	}
}

func changed(kind history.Kind, id string, nth int, change func(*history.Event)) mutation {
	return func(events []history.Event) []history.Event {
		change(&events[index(events, kind, id, nth)])
		return events
	}
}

func added(more ...history.Event) mutation {
	return func(events []history.Event) []history.Event {
		for _, e := range more {
			e.Wall = start.Add(e.At)
			events = append(events, e)
		}
		return events
	}
}

// effectOf adds an effect of the call.
func effectOf(id string) mutation {
	return added(history.Event{Kind: history.KindEffect, CallID: id, At: ms, Op: &appends})
}

func faultChanged(name string, change func(*history.Fault)) mutation {
	return func(events []history.Event) []history.Event {
		for i, e := range events {
			if e.Kind == history.KindFault && e.Fault.Name == name {
				f := *e.Fault
				change(&f)
				events[i].Fault = &f
			}
		}
		return events
	}
}

// sampleChanged changes the sample at the end of a process or a queue.
func sampleChanged(of string, change func(*history.Sample)) mutation {
	return func(events []history.Event) []history.Event {
		for i, e := range events {
			if e.Kind == history.KindSample && e.Phase == history.PhaseEnd && (e.Sample.Of == of || e.Sample.Queue == of) {
				s := *e.Sample
				change(&s)
				events[i].Sample = &s
			}
		}
		return events
	}
}

// balance changes what an account holds at the end.
func balance(account string, by int64) mutation {
	return func(events []history.Event) []history.Event {
		for i, e := range events {
			if e.Kind == history.KindState && e.Phase == history.PhaseEnd && e.Key == account {
				n, err := strconv.ParseInt(e.Value, 10, 64)
				if err != nil {
					panic(err)
				}
				events[i].Value = strconv.FormatInt(n+by, 10)
			}
		}
		return events
	}
}

func all(mutations ...mutation) mutation {
	return func(events []history.Event) []history.Event {
		for _, m := range mutations {
			events = m(events)
		}
		return events
	}
}

// writeAll writes the events to a file in the folder as a log has them.
func writeAll(folder string, events history.Events) error {
	file, err := os.Create(filepath.Join(folder, theProcess+".jsonl"))
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	lines := json.NewEncoder(out)
	for e, err := range events {
		if err != nil {
			return err
		}
		if err := lines.Encode(e); err != nil {
			return err
		}
	}
	return out.Flush()
}
