package workload

import (
	"context"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// lastAttempts is a server's store that tells the history of each last attempt of a
// call of [Method], before it is begun: a kill that comes in between leaves one too many
// in the history, and none out.
type lastAttempts struct {
	*boltstore.Store

	log *history.Log
}

// Claim implements store.Store.
func (s lastAttempts) Claim(ctx context.Context, c store.Claim) (r store.Record, won bool, err error) {
	if c.Once {
		return s.Store.Claim(ctx, c)
	}
	if r, err = s.Get(ctx, c.Key); err == nil && r.State == store.Interrupted && r.Attempts == attempts-1 {
		err = s.log.Append(history.Event{
			Kind: history.KindNote, Note: history.NoteLastAttempt, Method: c.Method, CallID: c.CallID,
		})
	}
	if err != nil {
		return r, false, err
	}
	return s.Store.Claim(ctx, c)
}
