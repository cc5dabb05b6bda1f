package workload

import (
	"context"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// claims has the history tell of the attempts of calls that are not their first.
type claims struct{ log *history.Log }

// claim claims in a server's store. The last attempt of a call of [Method] is told before
// it is begun: a kill that comes in between leaves one too many in the history, and none
// out. A call that has been begun before is told when it was claimed, with its former
// owner.
func (t claims) claim(ctx context.Context, st store.Store, c store.Claim) (r store.Record, won bool, err error) {
	var before store.Record
	if !c.Once {
		if before, err = st.Get(ctx, c.Key); err == nil && before.State == store.Interrupted && before.Attempts == attempts-1 {
			err = t.log.Append(note(history.NoteLastAttempt, c))
		}
		if err != nil {
			return before, false, err
		}
	}
	r, won, err = st.Claim(ctx, c)
	if won && !r.First {
		n := note(history.NoteTakeover, c)
		if before.State == store.Interrupted {
			n.Owner = before.Owner
		}
		// The claim is made: a server that dies before this is told has done nothing yet.
		if err := t.log.Append(n); err != nil {
			return r, won, err
		}
	}
	return r, won, err
}

func note(name string, c store.Claim) history.Event {
	return history.Event{Kind: history.KindNote, Note: name, Method: c.Method, CallID: c.CallID}
}
