package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/warp"
)

// Caller is the name that processes which call have in the history.
const Caller = "caller"

// NewClient returns a client of a run. Its policies repeat what is unknown: the
// server knows the calls.
func NewClient(urls []string, user string, timeout time.Duration) (*client.Client, error) {
	return newClient(warren.Broker{URLs: urls}, user, timeout)
}

// NewWarped returns a client whose clock is behind by ahead: see package warp.
func NewWarped(urls []string, ahead func() time.Duration, timeout time.Duration) (*client.Client, error) {
	return newClient(warren.Broker{URLs: urls, Dial: warp.Dial(ahead)}, User, timeout)
}

func newClient(broker warren.Broker, user string, timeout time.Duration) (*client.Client, error) {
	broker.Name, broker.Heartbeat = "chaos client", Heartbeat
	return client.New(client.Config{
		Broker: broker,
		Logger: slog.New(slog.DiscardHandler), NoServer: client.Wait, UserID: user,
		Policies: reliability.Rules{Methods: map[string]reliability.Policy{
			"*": {Timeout: &timeout, Idempotent: new(true)},
		}},
	})
}

// User is the broker's user that clients of a run are, and Stranger the one that
// makes calls with the IDs of theirs. Impostor is whom a user of the broker says to
// be who is not.
const (
	User     = "guest"
	Stranger = "stranger"
	Impostor = "impostor"
)

// Call is what a client's process does: it makes calls as the run says until ctx
// ends, and then until it knows what has become of each, or it is killed.
func Call(ctx context.Context, stdout, stderr io.Writer) (err error) {
	c, err := begin(Caller, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.log.Close()) }()
	through, err := NewClient(c.spec.URLs, User, c.spec.Timeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, through.Close()) }()
	if err := through.Ready(ctx); err != nil {
		return err
	}
	clients := NewClients(ClientsConfig{
		Log: c.log, Clients: []*client.Client{through}, Mode: c.spec.Mode, Timeout: c.spec.Timeout, Start: c.spec.Start,
		Seed: c.spec.Seed ^ uint64(time.Now().UnixNano()), // each incarnation makes other calls
	})
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	watched := make(chan error, 1)
	go func() { watched <- WatchMachine(running, c.log) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-watched)
	}()
	clients.Start(running, c.spec.Workers)
	if _, err := fmt.Fprintln(stdout, Ready); err != nil {
		return err
	}
	<-ctx.Done()
	clients.Stop()
	if left := clients.ResolveAll(running); len(left) > 0 {
		return fmt.Errorf("chaos: what became of %d calls was not told", len(left))
	}
	return nil
}

const (
	// beat is how often WatchMachine looks, and stood how late it must be for the
	// machine to have stood still.
	beat  = 5 * time.Millisecond
	stood = 20 * time.Millisecond
)

// WatchMachine records, until ctx ends, when this process did not get to run for a
// while, as on a machine with more to do than it can: its calls cannot end in time
// then.
func WatchMachine(ctx context.Context, log *history.Log) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now()
		if late := now.Sub(last) - beat; late > stood {
			at, wall := log.Now()
			f := &history.Fault{Name: "machine-stood", ID: wall.Format(time.RFC3339Nano), Target: log.Process(), Class: history.Freezes}
			for _, e := range []history.Event{
				{Kind: history.KindFault, Phase: history.PhaseBegin, Fault: f, At: at - late, Wall: wall.Add(-late)},
				{Kind: history.KindFault, Phase: history.PhaseEnd, Fault: f, At: at, Wall: wall},
			} {
				if err := log.Append(e); err != nil {
					return err
				}
			}
		}
		last = now
	}
}
