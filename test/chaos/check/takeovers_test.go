package check

import (
	"slices"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/chaos/history"
)

func TestTakeoversAreMeasuredFromTheKillOfTheOwner(t *testing.T) {
	t.Parallel()
	s := &generator{}
	note := func(process, name, id, owner string, at time.Duration) {
		s.add(process, at, history.Event{Kind: history.KindNote, Note: name, CallID: id, Owner: owner})
	}
	kill := func(target string, at time.Duration) {
		s.add(theProcess, at, history.Event{
			Kind: history.KindFault, Phase: history.PhaseOnce, Fault: &history.Fault{Name: death, Target: target, Class: history.Kills},
		})
	}
	note("server-1@7", history.NoteOwner, "", "first", 1)
	note("server-2@8", history.NoteOwner, "", "second", 1)
	kill("server-1", time.Second)
	note("server-1@9", history.NoteOwner, "", "third", 2*time.Second)
	note("server-2@8", history.NoteTakeover, "a", "first", 3*time.Second)
	note("server-2@8", history.NoteTakeover, "b", "second", 3*time.Second)  // its own, which it gave up
	note("server-2@8", history.NoteTakeover, "c", "", 3*time.Second)        // of whom is not known
	note("server-2@8", history.NoteTakeover, "d", "third", 3*time.Second)   // who still lives
	note("server-2@8", history.NoteTakeover, "e", "unheard", 3*time.Second) // of an opening that is not in the history
	kill("server-1", 4*time.Second)
	note("server-2@8", history.NoteTakeover, "f", "third", 4500*time.Millisecond)
	want := []time.Duration{2 * time.Second, 500 * time.Millisecond}
	if r := judged(t, s.events, Options{}); !slices.Equal(r.Takeovers, want) {
		t.Errorf("%v; want %v", r.Takeovers, want)
	}
}
