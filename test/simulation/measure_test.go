package simulation

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/reliability/simulate"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// figures are what simulations and measurements are compared by.
type figures struct {
	calls, successes, attempts int
	opened                     int // times that breakers opened
}

func (f *figures) successRate() float64   { return float64(f.successes) / float64(f.calls) }
func (f *figures) amplification() float64 { return float64(f.attempts) / float64(f.calls) }

func (f *figures) add(g figures) {
	f.calls += g.calls
	f.successes += g.successes
	f.attempts += g.attempts
	f.opened += g.opened
}

// run is a scenario that is carried out.
type run struct {
	*rig.Rig
	simulate.Scenario
	method string

	mu  sync.Mutex
	rng *rand.Rand
	figures
}

// measure carries the scenario out, with clients, servers and a broker. It is
// called in a bubble.
func measure(r *rig.Rig, rules reliability.Rules, method string, s simulate.Scenario) figures {
	r.T.Helper()
	m := &run{Rig: r, Scenario: s, method: method, rng: rand.New(rand.NewPCG(s.Seed, 100))}
	servers := m.serve()
	var clients []*client.Client
	for range s.Clients {
		clients = append(clients, r.Ready(func(cfg *client.Config) {
			cfg.Policies, cfg.NoServer = rules, client.Wait
			cfg.OnBreaker = m.changed
			cfg.Logger = slog.New(slog.DiscardHandler)
		}))
	}
	if s.Outage.Length > 0 {
		time.AfterFunc(s.Outage.Start, func() {
			switch s.Outage.Kind {
			case simulate.Silent:
				stop(r.T, servers)
				time.AfterFunc(s.Outage.Length, func() { m.serve() })
			case simulate.Broker:
				r.Broker.Stop()
				time.AfterFunc(s.Outage.Length, r.Broker.Resume)
			case simulate.Refused, simulate.NoRoute:
				r.T.Errorf("there is no way to measure an outage of the kind %s", s.Outage.Kind)
			}
		})
	}
	var calls sync.WaitGroup
	begun := time.Now()
	for {
		time.Sleep(time.Duration(m.draw().ExpFloat64() / s.Rate * float64(time.Second)))
		if time.Since(begun) >= s.Duration {
			break
		}
		c := clients[m.draw().IntN(len(clients))]
		calls.Go(func() { m.call(c) })
	}
	calls.Wait()
	return m.figures
}

// draw is the source of random numbers, of which each is drawn by itself.
func (m *run) draw() *rand.Rand {
	m.mu.Lock()
	defer m.mu.Unlock()
	return rand.New(rand.NewPCG(m.rng.Uint64(), m.rng.Uint64()))
}

func (m *run) call(c *client.Client) {
	reply, err := c.Call(m.T.Context(), m.method, nil)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if err == nil {
		m.successes++
		m.attempts += reply.Attempts
		return
	}
	e, ok := warren.AsError(err)
	if !ok {
		m.T.Errorf("%v", err)
		return
	}
	m.attempts += e.Attempts
}

func (m *run) changed(c reliability.Change) {
	if c.To == reliability.Open {
		m.mu.Lock()
		m.opened++
		m.mu.Unlock()
	}
}

// serve starts what handles the calls until the test ends.
func (m *run) serve() *server.Server {
	s := m.NewServer(func(cfg *server.Config) { cfg.Logger = slog.New(slog.DiscardHandler) })
	handle := func(ctx context.Context, _ *warren.Request) (*warren.Reply, error) {
		rng := m.draw()
		select {
		case <-time.After(latency(m.Latency, rng)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if rng.Float64() < m.Errors.Ratio {
			return nil, &warren.Error{Code: m.Errors.Code}
		}
		return &warren.Reply{}, nil
	}
	if err := s.HandleRaw(server.Method{Name: m.method, Concurrency: m.Capacity}, handle); err != nil {
		m.T.Fatal(err)
	}
	return m.Start(s)
}

// latency is drawn here on its own, and not by what is under test.
func latency(l simulate.Latency, rng *rand.Rand) time.Duration {
	sigma := math.Log(float64(l.P99)/float64(l.P50)) / 2.326
	return time.Duration(float64(l.P50) * math.Exp(sigma*rng.NormFloat64()))
}

func stop(t *testing.T, s *server.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), patience.Soon)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop the servers: %v", err)
	}
}
