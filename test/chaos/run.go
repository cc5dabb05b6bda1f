package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/check"
	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/chaos/proxy"
	"github.com/warren-rpc/warren/test/chaos/workload"
	"github.com/warren-rpc/warren/test/rabbit"
)

const method = workload.Method

// Config says what is run. Duration and Server have no default.
type Config struct {
	// Duration is for how long calls are made while faults happen. At least 1 s.
	Duration time.Duration
	// Faults are the kinds of fault, of [Faults]. Default: all.
	Faults []string
	// Mode is the method's. Default: at-least-once.
	Mode server.Mode
	// Seed draws faults and operations. The same seed makes the same plan; what comes
	// of it also depends on the machine.
	Seed uint64
	// Workers is how many calls are in flight. Default: 24.
	Workers int
	// Timeout is each call's. Default: 8 s.
	Timeout time.Duration
	// Server is the program, with its arguments, of a process that calls
	// workload.Serve.
	Server []string
	// Folder gets the history, the store and the processes' output. It must be empty,
	// or not there.
	Folder string
	// Grace is by how much a call may end after its deadline. Default: 100 ms. What the
	// machine stood still is measured and added.
	Grace time.Duration
	// Recovery is how long after a fault's end a call must have succeeded, if nothing
	// else is broken meanwhile. Default: 10 s.
	Recovery time.Duration
	// Progress, if not nil, is told each second how things stand.
	Progress func(Progress)
}

// Progress is how a run stands.
type Progress struct {
	Elapsed                  time.Duration
	Calls, Succeeded, Failed int64
	Faults                   int
	Phase                    string // "starting", "breaking", "recovering", "judging"
}

// Result is what came of a run.
type Result struct {
	*check.Report
	Config Config
	// Kills is at which crash point the server died how often; "" is any other time.
	Kills map[string]int
}

// run is a run that is under way.
type run struct {
	cfg   Config
	began time.Time
	log   *history.Log

	node      *rabbit.Node
	broker    sync.Mutex // held by who does something to the node
	near, far *proxy.Proxy
	server    *proc.Process
	spec      workload.Spec
	clients   *workload.Clients

	poisons   atomic.Int64
	poisoning sync.WaitGroup

	mu     sync.Mutex
	faults int
	phase  string
	kills  map[string]int
	cancel context.CancelCauseFunc // ends the run early
}

func (c Config) complete() (Config, error) {
	c.Workers = cmp.Or(c.Workers, 24)
	c.Timeout = cmp.Or(c.Timeout, 8*time.Second)
	c.Grace = cmp.Or(c.Grace, 100*time.Millisecond)
	c.Recovery = cmp.Or(c.Recovery, recovery)
	switch {
	case c.Duration < time.Second:
		return c, errors.New("chaos: Config.Duration must be at least 1 s")
	case len(c.Server) == 0:
		return c, errors.New("chaos: Config.Server is required")
	case c.Folder == "":
		return c, errors.New("chaos: Config.Folder is required")
	}
	entries, err := os.ReadDir(c.Folder)
	if err == nil && len(entries) > 0 {
		return c, fmt.Errorf("chaos: the folder %s is not empty", c.Folder)
	}
	return c, nil
}

// Run runs and judges. The error says why it could not be done; what was found
// broken is in the result. Everything that it starts has ended when it returns.
func Run(ctx context.Context, cfg Config) (result *Result, err error) {
	cfg, err = cfg.complete()
	if err != nil {
		return nil, err
	}
	chosen, err := choose(cfg.Faults)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{cfg: cfg, began: time.Now(), kills: map[string]int{}, cancel: cancel}
	stopTelling := r.tell()
	defer stopTelling()
	if r.log, err = history.Open(cfg.Folder, "clients", r.began); err != nil {
		return nil, err
	}
	err = errors.Join(r.drive(ctx, chosen), r.log.Close())
	if err != nil {
		return nil, err
	}
	r.enter("judging")
	report, err := check.Check(history.ReadFolder(cfg.Folder), check.Options{
		Mode: cfg.Mode, Grace: cfg.Grace, Recovery: cfg.Recovery, Visualise: cfg.Folder, Require: required(cfg.Mode),
	})
	if err != nil {
		return nil, err
	}
	return &Result{Report: report, Config: cfg, Kills: r.kills}, nil
}

// required are the invariants that say nothing if they were never checked.
func required(mode server.Mode) []check.Name {
	names := []check.Name{check.SuccessHasEffect, check.EffectHasCall, check.EndsOnce, check.EndsInTime, check.QueuesDrained}
	if mode == server.Transactional {
		names = append(names, check.BankSum, check.RegisterLinearizes)
	}
	return names
}

// drive is the run but for its judgement.
func (r *run) drive(ctx context.Context, chosen []kind) (err error) {
	r.enter("starting")
	if err := r.sampleSelf(history.PhaseBegin); err != nil {
		return err
	}
	for _, account := range r.accounts() {
		if err := r.log.Append(state(account, workload.Opening, history.PhaseBegin)); err != nil {
			return err
		}
	}
	if err := r.setUp(ctx); err != nil {
		return errors.Join(err, r.tearDown())
	}
	clients, err := r.connect(ctx)
	if err == nil {
		err = r.breakThings(ctx, clients, chosen)
	}
	for _, c := range clients {
		err = errors.Join(err, c.Close())
	}
	err = errors.Join(err, r.tearDown())
	if err != nil {
		return err
	}
	if err := r.readBook(); err != nil {
		return err
	}
	return r.sampleSelf(history.PhaseEnd)
}

// setUp starts the broker, the proxies and the server.
func (r *run) setUp(ctx context.Context) (err error) {
	if r.node, err = rabbit.Start(ctx, rabbit.Options{}); err != nil {
		return err
	}
	for i, p := range []**proxy.Proxy{&r.near, &r.far} {
		if *p, err = proxy.New(r.node.Addr(), proxy.Options{Seed: r.cfg.Seed + uint64(i)}); err != nil {
			return err
		}
	}
	r.spec = workload.Spec{URLs: []string{r.far.URL(r.node.URL())}, Folder: r.cfg.Folder, Start: r.began, Mode: r.cfg.Mode}
	env, err := r.spec.Environ()
	if err != nil {
		return err
	}
	r.server, err = proc.Start(ctx, proc.Options{
		Path: r.cfg.Server[0], Args: r.cfg.Server[1:], Env: []string{env}, Log: r.cfg.Folder + "/server.log",
		Ready: workload.Ready, ReadyWithin: time.Minute, Seed: r.cfg.Seed,
	})
	return err
}

// tearDown ends what setUp has started.
func (r *run) tearDown() (err error) {
	if r.server != nil {
		err = r.server.Close()
	}
	for _, p := range []*proxy.Proxy{r.near, r.far} {
		if p != nil {
			err = errors.Join(err, p.Close())
		}
	}
	if r.node != nil {
		err = errors.Join(err, r.node.Close())
	}
	return err
}

// connect makes the clients. Their policies repeat what is unknown: the server
// knows the calls.
func (r *run) connect(ctx context.Context) ([]*client.Client, error) {
	var clients []*client.Client
	for range 3 {
		c, err := client.New(client.Config{
			Broker: warren.Broker{
				URLs: []string{r.near.URL(r.node.URL())}, Name: "chaos client", Heartbeat: workload.Heartbeat,
			},
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), NoServer: client.Wait,
			Policies: reliability.Rules{Methods: map[string]reliability.Spec{
				"*": {Timeout: &r.cfg.Timeout, Idempotent: new(true)},
			}},
		})
		if err != nil {
			return clients, err
		}
		clients = append(clients, c)
		if err := c.Ready(ctx); err != nil {
			return clients, err
		}
	}
	return clients, nil
}

// breakThings makes calls while faults happen, and then until all is well again.
func (r *run) breakThings(ctx context.Context, clients []*client.Client, chosen []kind) error {
	r.mu.Lock()
	r.clients = workload.NewClients(workload.ClientsConfig{
		Log: r.log, Clients: clients, Mode: r.cfg.Mode, Timeout: r.cfg.Timeout, Seed: r.cfg.Seed,
	})
	r.mu.Unlock()
	watch, stopWatching := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { r.follow(watch) })
	watching.Go(func() { r.watchMachine(watch) })
	r.clients.Start(ctx, r.cfg.Workers)

	r.enter("breaking")
	breaking, stopBreaking := context.WithTimeout(ctx, r.cfg.Duration)
	var breakers sync.WaitGroup
	for n, k := range chosen {
		breakers.Go(func() { r.breaks(breaking, k, n) })
	}
	breakers.Wait()
	stopBreaking()

	r.enter("recovering")
	orders, cancel := context.WithTimeout(ctx, 5*time.Second)
	_ = r.server.Arm(orders, "") // no more kills
	cancel()
	_ = pause(ctx, min(r.cfg.Recovery, recovery)+2*time.Second)
	r.clients.Stop()
	r.poisoning.Wait()
	left := r.clients.ResolveAll(ctx)
	err := r.quiet(ctx)
	stopWatching()
	watching.Wait()
	if left > 0 {
		err = errors.Join(err, fmt.Errorf("chaos: what became of %d calls was not told", left))
	}
	return errors.Join(err, context.Cause(ctx))
}

const recovery = 10 * time.Second

func (r *run) accounts() []string {
	if r.cfg.Mode != server.Transactional {
		return nil
	}
	return workload.Accounts()
}

func (r *run) withBroker(do func() error) error {
	r.broker.Lock()
	defer r.broker.Unlock()
	return do()
}

func (r *run) count() {
	r.mu.Lock()
	r.faults++
	r.mu.Unlock()
}

func (r *run) enter(phase string) {
	r.mu.Lock()
	r.phase = phase
	r.mu.Unlock()
}

// fail ends the run, which cannot be done.
func (r *run) fail(err error) { r.cancel(err) }
