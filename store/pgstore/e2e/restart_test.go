package e2e

import (
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/postgres"
	"github.com/warren-rpc/warren/test/rabbit"
)

// inTurn ends two replicas, one after the other, and starts them again, until the load
// is over. It returns how often it did.
func inTurn(t *testing.T, replicas []*proc.Process, pause time.Duration, over <-chan []outcome, end func(*proc.Process) error) ([]outcome, int) {
	t.Helper()
	for restarts := 0; ; restarts++ {
		select {
		case outcomes := <-over:
			return outcomes, restarts
		case <-time.After(pause):
		}
		p := replicas[restarts%len(replicas)]
		if err := end(p); err != nil {
			t.Fatal(err)
		}
		if err := p.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func stopped(t *testing.T) func(*proc.Process) error {
	return func(p *proc.Process) error { return p.Stop(t.Context()) }
}

func killed(p *proc.Process) error {
	p.Kill()
	return nil
}

// Two replicas are restarted in turn under load, in order or by SIGKILL: each call is
// answered, and has one effect.
func TestReplicasAreRestartedUnderLoad(t *testing.T) {
	for name, end := range map[string]func(*proc.Process) error{"stopped": stopped(t), "killed": killed} {
		t.Run(name, func(t *testing.T) {
			const calls, inFlight, fewest = 5000, 64, 4
			o := spec{Broker: rabbit.VHost(t), Database: postgres.Database(t), Schema: "warren", Mode: server.Transactional}
			database(t, o.Database, o.Schema)
			replicas := []*proc.Process{o.replica(t, nil), o.replica(t, nil)}
			over := make(chan []outcome, 1)
			began := time.Now()
			go func() { over <- o.load(t, calls, inFlight, client.Idempotent()) }()
			outcomes, restarts := inTurn(t, replicas, 300*time.Millisecond, over, end)
			took := time.Since(began)
			answered := 0
			for _, c := range outcomes {
				if c.err != nil {
					t.Errorf("%s: %v", c.callID, c.err)
					continue
				}
				answered++
			}
			all, distinct := effects(t, o.Database)
			t.Logf("%d of %d calls answered, %d effects of %d calls, %d restarts in %v", answered, calls, all, distinct, restarts, took.Round(time.Millisecond))
			if answered != calls || all != calls || distinct != calls || restarts < fewest {
				t.Errorf("%d calls were answered, with %d effects of %d, in %d restarts", answered, all, distinct, restarts)
			}
		})
	}
}

// Calls that are begun at most once are begun by one of the replicas, whatever becomes
// of it: what is told as not executed has no effect, and what succeeded has one.
func TestCallsAreBegunAtMostOnceWhileReplicasAreKilled(t *testing.T) {
	const calls, inFlight = 1500, 32
	o := spec{Broker: rabbit.VHost(t), Database: postgres.Database(t), Schema: "warren", Mode: server.AtMostOnce}
	database(t, o.Database, o.Schema)
	replicas := []*proc.Process{o.replica(t, nil), o.replica(t, nil)}
	over := make(chan []outcome, 1)
	go func() { over <- o.load(t, calls, inFlight, client.Idempotent()) }()
	outcomes, kills := inTurn(t, replicas, 200*time.Millisecond, over, killed)
	successes, unknown := 0, 0
	effects := effectsByCall(t, o.Database)
	for _, c := range outcomes {
		n := effects[c.callID]
		e, _ := warren.AsError(c.err)
		switch {
		case n > 1:
			t.Errorf("%s has %d effects; told: %v", c.callID, n, c.err)
		case c.err == nil && n != 1:
			t.Errorf("%s succeeded, and has no effect", c.callID)
		case e != nil && e.Outcome == warren.NotExecuted && n != 0:
			t.Errorf("%s has an effect; told: %v", c.callID, c.err)
		case c.err == nil:
			successes++
		default:
			unknown++
		}
	}
	t.Logf("%d calls succeeded, of %d others it is not known, %d kills", successes, unknown, kills)
	if successes < calls/2 || kills < 2 {
		t.Errorf("%d calls succeeded, in %d kills", successes, kills)
	}
}
