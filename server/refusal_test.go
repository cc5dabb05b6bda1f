package server_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// moody is a request that is refused the first time.
type moody struct{ X string }

var moods sync.Map // those that were refused, by X

func (m moody) Validate() error {
	if _, refused := moods.LoadOrStore(m.X, true); !refused {
		return errors.New("not today")
	}
	return nil
}

func callMoody(r *rig.Rig) (string, error) {
	s := r.NewServer()
	err := server.Handle(s, server.Method{Name: "m"}, func(_ context.Context, m moody) (string, error) { return m.X, nil })
	if err != nil {
		return "", err
	}
	r.Start(s)
	return client.Call[string](r.T.Context(), r.Client(), "m", moody{uuid.NewString()}, client.WithTimeout(5*time.Second))
}

// A request that was refused, and whose acknowledgement is lost, comes back, and is
// executed by a server that finds no fault with it. Its caller must not have been told
// that it is not.
func TestRefusalIsToldOnceItsRequestCannotComeBack(t *testing.T) {
	acks := amqptest.When{Method: "basic.ack", ConnName: "*server*consumes*", Direction: amqptest.FromClient}
	t.Run("lost", func(t *testing.T) {
		rig.Bubble(t, func(r *rig.Rig) {
			if _, err := callMoody(r); err != nil {
				r.T.Error(err)
			}
		}, amqptest.Rule{When: acks, Do: amqptest.SeverBefore()})
	})
	// If the broker has taken it and nobody knows, nothing is told either.
	t.Run("taken", func(t *testing.T) {
		rig.Bubble(t, func(r *rig.Rig) {
			_, err := callMoody(r)
			rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		}, amqptest.Rule{When: acks, Do: amqptest.SeverAfter()})
	})
	t.Run("known", func(t *testing.T) {
		rig.Bubble(t, func(r *rig.Rig) {
			_, err := callMoody(r)
			rig.WantError(r.T, err, warren.CodeInvalidArgument, warren.ReasonInvalid, warren.NotExecuted)
		})
	})
}
