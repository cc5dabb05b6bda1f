package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// run is one call of Run.
type run struct {
	options   Options
	id        string            // what its queues' names begin with
	databases map[string]string // addresses by name
	measured  int               // measurements so far
	conn      *amqp.Connection  // the parent's own, to clear up with
}

// sample is what one measurement found.
type sample struct {
	tally
	client, server usage
	broker         time.Duration // 0: not known
}

// round is one measurement of each variant, in the order of Options.Variants.
type round []sample

// cell measures all variants under one workload, round by round. Each round begins with another variant, so that none is always the one that
// follows the heaviest.
func (r *run) cell(ctx context.Context, w workload) ([]round, error) {
	names := r.options.Variants
	rounds := make([]round, r.options.Rounds)
	for n := range rounds {
		rounds[n] = make(round, len(names))
		for i := range names {
			at := (i + n) % len(names)
			s, err := r.measure(ctx, names[at], w, n)
			if err != nil {
				return nil, fmt.Errorf("bench: %s, %v, round %d: %w", names[at], w, n+1, err)
			}
			rounds[n][at] = s
			_, _ = fmt.Fprintf(r.options.Progress, "%v, round %d of %d: %s: %.0f calls/s\n",
				w, n+1, len(rounds), names[at], s.callsPerSecond())
		}
	}
	return rounds, nil
}

// startTimeout bounds what a measurement needs beside its calls: the start of
// two processes and their connections, on a machine that may be busy.
const startTimeout = time.Minute

// measure runs the two workers of a variant once.
func (r *run) measure(ctx context.Context, name string, w workload, n int) (_ sample, err error) {
	o := r.options
	ctx, cancel := context.WithTimeout(ctx, startTimeout+o.WarmUp+o.Duration+2*lostAfter)
	defer cancel()
	r.measured++
	s := spec{
		URL:      o.URL,
		Database: r.database(name),
		Queue:    fmt.Sprintf("bench.%s.%d", r.id, r.measured),
		workload: w,
		WarmUp:   o.WarmUp,
		Duration: o.Duration,
	}
	defer func() {
		if deleteErr := deleteQueues(r.conn, s.Queue); err == nil {
			err = deleteErr
		}
	}()

	server, err := r.start(ctx, serverSide, name, s, n)
	if err != nil {
		return sample{}, err
	}
	defer server.stop()
	client, err := r.start(ctx, clientSide, name, s, n)
	if err != nil {
		return sample{}, err
	}
	defer client.stop()
	return r.take(ctx, server, client)
}

// database returns the address of the database that the variant needs, if any.
func (r *run) database(name string) string {
	v, _ := lookUp(name, r.options.Databases)
	return r.databases[v.database]
}

// start starts a worker and waits until it is ready: a server consumes, a client
// is warm.
func (r *run) start(ctx context.Context, side, name string, s spec, n int) (*process, error) {
	if r.options.ProfileDir != "" {
		file := fmt.Sprintf("%s-%s-%d.%s", name, s.file(), n+1, side)
		s.Profile = filepath.Join(r.options.ProfileDir, file)
	}
	p, err := startWorker(ctx, r.options.Executable, side, name, s)
	if err != nil {
		return nil, err
	}
	m, err := p.receive(ctx)
	if err == nil && !m.Ready {
		err = fmt.Errorf("%s worker: is not ready, but says %+v", side, m)
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// take reads all meters, lets the client make its calls, and reads them again.
func (r *run) take(ctx context.Context, server, client *process) (s sample, err error) {
	workers := []*process{server, client}
	for _, p := range workers {
		if _, err := p.ask(ctx, orderBegin); err != nil {
			return s, err
		}
	}
	broker := r.brokerCPU()

	m, err := client.ask(ctx, orderLoad)
	if err != nil {
		return s, err
	}
	if m.Tally == nil {
		return s, fmt.Errorf("client worker: answers %+v", m)
	}
	s.tally = *m.Tally

	s.broker = r.brokerCPU() - broker
	for i, meter := range []*usage{&s.server, &s.client} {
		m, err := workers[i].ask(ctx, orderEnd)
		if err != nil {
			return s, err
		}
		if m.Usage == nil {
			return s, fmt.Errorf("%s worker: answers %+v", workers[i].side, m)
		}
		*meter = *m.Usage
	}
	return s, nil
}

func (r *run) brokerCPU() time.Duration {
	if r.options.BrokerCPU == nil {
		return 0
	}
	return r.options.BrokerCPU()
}
