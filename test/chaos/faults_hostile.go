package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/warren-rpc/warren/test/chaos/workload"
)

// What the broker allows in a run: less than what clients of the framework may send,
// so that it refuses some.
const (
	frameMax       = 16 << 10
	maxMessageSize = 256 << 10
)

// limits are the broker's settings for that.
func limits() []string {
	return []string{fmt.Sprint("frame_max = ", frameMax), fmt.Sprint("max_message_size = ", maxMessageSize)}
}

// refused makes a call whose request the broker does not take, beside others that it
// takes, by a client that does not know yet what the broker refuses.
func (r *run) refused(_ context.Context, rng chance) error {
	why := workload.Refusal(rng.IntN(int(workload.Refusals)))
	user, size := workload.User, maxMessageSize+1
	switch why {
	case workload.OversizedHeaders:
		size = frameMax - 400
	case workload.ForeignUser:
		user = workload.Impostor
	default:
	}
	c, err := workload.NewClient(r.near.urls(workload.User, rng.IntN(len(r.nodes))), user, r.cfg.Timeout)
	if err != nil {
		return err
	}
	r.aside(func(ctx context.Context) {
		defer func() { _ = c.Close() }()
		ready, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
		defer cancel()
		if c.Ready(ready) == nil {
			r.clients.Refused(ctx, why, c, size)
		}
	})
	return r.strike("refused", "", "")
}

// unreadable sends what no AMQP library can read to the server and to those who wait
// for replies. Its requests are none that could be run: who reads them refuses them.
func (r *run) unreadable(ctx context.Context, rng chance) error {
	names := slices.Sorted(maps.Keys(unreadable))
	name := one(rng, names)
	addr := one(rng, r.nodes).Addr()
	return r.takeRequests(ctx, "unreadable", "messages", rng, func(t *requestTaker) error {
		p, err := dialPlain(ctx, addr)
		if err != nil {
			return nil // the broker is away
		}
		defer p.close()
		sent := []message{{queue: r.method(), correlationID: uuid.NewString(), replyTo: "nobody", body: "no JSON"}}
		if rng.IntN(2) == 0 {
			sent[0].typ = "warren/1;k=call;n=1"
		}
		for _, d := range t.taken {
			if d.ReplyTo != "" {
				sent = append(sent, message{queue: d.ReplyTo, correlationID: d.CorrelationId, body: `{"echo":"forged"}`, typ: "warren/1;k=reply;n=1;x=0"})
				break
			}
		}
		for _, m := range sent {
			m.headers = unreadable[name]
			if p.publish(m) != nil {
				return nil // the broker has gone
			}
		}
		return nil
	})
}
