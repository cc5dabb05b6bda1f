package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/check"
	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/report"
	"github.com/warren-rpc/warren/test/chaos/workload"
)

// Config says what is run. Duration and Server have no default.
type Config struct {
	// Duration is for how long calls are made while faults happen. At least 1 s.
	Duration time.Duration
	// Faults are the kinds of fault, of [Faults]; "cut:clients", "cut:server" and
	// "cut:store" strike only those connections, and likewise the other kinds that strike
	// connections. Default: all.
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
	// Backend is where the servers keep what they remember, and the state that calls
	// change. Default: [workload.File].
	Backend workload.Backend
	// Servers is how many processes serve the method. Default: 1, and 3 on a Backend that
	// is shared; up to 9, and 1 on one that is not.
	Servers int
	// Nodes is how many nodes the broker has. Default: 1; up to 7. With three or more a
	// node that is killed costs nothing but a new leader of its queues.
	Nodes int
	// Server is the program, with its arguments, of a process that calls
	// [workload.Serve], or [workload.ServeOn] with the Backend.
	Server []string
	// Caller is that of a process that calls [workload.Call]: a client that is killed,
	// too. Default: none.
	Caller []string
	// Method is what is called, if it is one of the Server's own. Request then makes a
	// body, which is sent as JSON. Default: [workload.Method] and its operations.
	Method  string
	Request func(rng *rand.Rand) any
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
	Config  Config
	Started time.Time
	// Kills is at which crash point servers and clients died how often; "" is any
	// other time.
	Kills map[string]int
	// Missing says of kinds of fault that were not chosen by name why there were none.
	Missing map[string]string
}

// Run is what package report writes: report.Text(os.Stderr, result.Run()).
func (r *Result) Run() report.Run {
	return report.Run{
		Report: r.Report, Mode: r.Config.Mode.String(), Seed: r.Config.Seed, Started: r.Started, Kills: r.Kills, Missing: r.Missing,
	}
}

// run is a run that is under way.
type run struct {
	cfg   Config
	began time.Time
	log   *history.Log
	stage

	clients  *workload.Clients
	stranger *client.Client

	poisons atomic.Int64
	asides  sync.WaitGroup // calls that faults make, by aside
	aside   func(call func(ctx context.Context))

	mu      sync.Mutex
	faults  int
	phase   string
	kills   map[string]int
	missing map[string]string
	cancel  context.CancelCauseFunc // ends the run early
}

func (c Config) complete() (Config, error) {
	c.Workers = cmp.Or(c.Workers, 24)
	c.Timeout = cmp.Or(c.Timeout, 8*time.Second)
	c.Grace = cmp.Or(c.Grace, 100*time.Millisecond)
	c.Recovery = cmp.Or(c.Recovery, recovery)
	c.Nodes = cmp.Or(c.Nodes, 1)
	if c.Backend == nil {
		c.Backend = workload.File{}
	}
	most := 1
	if c.Backend.Shared() {
		most = 9
	}
	c.Servers = cmp.Or(c.Servers, min(most, 3))
	switch {
	case c.Duration < time.Second:
		return c, errors.New("chaos: Config.Duration must be at least 1 s")
	case len(c.Server) == 0:
		return c, errors.New("chaos: Config.Server is required")
	case (c.Method == "") != (c.Request == nil):
		return c, errors.New("chaos: Config.Method and Config.Request go together")
	case c.Nodes < 1 || c.Nodes > 7:
		return c, errors.New("chaos: Config.Nodes must be 1 to 7")
	case c.Servers < 1 || c.Servers > most:
		return c, fmt.Errorf("chaos: Config.Servers must be 1 to %d with this Config.Backend", most)
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
	r := &run{cfg: cfg, began: time.Now(), kills: map[string]int{}, missing: map[string]string{}, cancel: cancel}
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
	found, err := check.Check(history.ReadFolder(cfg.Folder), check.Options{
		Mode: cfg.Mode, Grace: cfg.Grace, Recovery: cfg.Recovery, Linearize: max(30*time.Second, cfg.Duration/2),
		Visualise: cfg.Folder, Require: r.required(),
	})
	if err != nil {
		return nil, err
	}
	return &Result{Report: found, Config: cfg, Started: r.began, Kills: r.kills, Missing: r.missing}, nil
}

// required are the invariants that say nothing if they were never checked.
func (r *run) required() []check.Name {
	names := []check.Name{check.SuccessHasEffect, check.EffectHasCall, check.EndsOnce, check.EndsInTime, check.QueuesDrained}
	if len(r.accounts()) > 0 {
		names = append(names, check.BankSum, check.RegisterLinearizes)
	}
	return names
}

// drive is the run but for its judgement.
func (r *run) drive(ctx context.Context, chosen []choice) (err error) {
	r.enter("starting")
	if err := r.sampleSelf(history.PhaseBegin); err != nil {
		return err
	}
	for _, account := range r.accounts() {
		if err := r.log.Append(state(account, workload.Opening, history.PhaseBegin)); err != nil {
			return err
		}
	}
	chosen, err = r.setUp(ctx, chosen)
	if err != nil {
		return errors.Join(err, r.endProcesses(), r.tearDown())
	}
	clients, err := r.connect(ctx)
	if err == nil {
		err = r.breakThings(ctx, clients, chosen)
	}
	for _, c := range slices.Concat(clients, r.memory.clients) {
		err = errors.Join(err, c.Close())
	}
	err = errors.Join(err, r.endProcesses())
	if err == nil {
		err = r.readBook(ctx)
	}
	if err = errors.Join(err, r.tearDown()); err != nil {
		return err
	}
	return r.sampleSelf(history.PhaseEnd)
}

// connect makes the clients of this process. The last one is the stranger's.
func (r *run) connect(ctx context.Context) (clients []*client.Client, err error) {
	for n, user := range []string{workload.User, workload.User, workload.User, workload.Stranger} {
		c, err := workload.NewClient(r.near.urls(user, n), user, r.cfg.Timeout)
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
func (r *run) breakThings(ctx context.Context, clients []*client.Client, chosen []choice) error {
	last := len(clients) - 1
	r.mu.Lock()
	r.stranger = clients[last]
	r.clients = workload.NewClients(workload.ClientsConfig{
		Log: r.log, Clients: clients[:last], Mode: r.cfg.Mode, Timeout: r.cfg.Timeout, Start: r.began, Seed: r.cfg.Seed,
		Method: r.cfg.Method, Request: r.cfg.Request,
	})
	r.mu.Unlock()
	watch, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	var watching sync.WaitGroup
	for _, s := range r.servers {
		watching.Go(func() { r.follow(watch, s.Process, history.Fault{Name: "kill-server", Target: s.name}) })
	}
	calling, stopCalling := context.WithCancel(ctx)
	defer stopCalling()
	if r.caller != nil {
		f := history.Fault{Name: "kill-client", Target: workload.Caller}
		watching.Go(func() { r.follow(calling, r.caller, f) })
	}
	watching.Go(func() {
		if err := workload.WatchMachine(watch, r.log); err != nil {
			r.fail(err)
		}
	})
	r.aside = func(call func(ctx context.Context)) { r.asides.Go(func() { call(ctx) }) }
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
	r.disarm(ctx)
	_ = pause(ctx, min(r.cfg.Recovery, recovery)+2*time.Second)
	stopCalling() // it is not started again
	err := r.settle(ctx)
	stopWatching()
	watching.Wait()
	return errors.Join(err, context.Cause(ctx))
}

// disarm has nobody die any more.
func (r *run) disarm(ctx context.Context) {
	orders, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, p := range r.victims() {
		_ = p.Arm(orders, "") // it may just be started again
		_ = p.SetCrash("")
	}
}

// settle ends all calls, asks about those whose outcome is unknown, and looks at
// what is left.
func (r *run) settle(ctx context.Context) error {
	if r.caller != nil {
		stopping, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if r.caller.Stop(stopping) != nil {
			r.caller.Kill() // it is still asking; its calls are asked about here
		}
	}
	r.clients.Stop()
	r.asides.Wait()
	if err := r.clients.Adopt(history.ReadFolder(r.cfg.Folder)); err != nil {
		return err
	}
	for _, id := range r.clients.ResolveAll(ctx) {
		if err := r.log.Append(history.Event{Kind: history.KindNote, Note: history.NoteUntold, Method: r.method(), CallID: id}); err != nil {
			return err
		}
	}
	return r.quiet(ctx)
}

const recovery = 10 * time.Second

func (r *run) accounts() []string {
	if r.cfg.Mode != server.Transactional || r.cfg.Request != nil {
		return nil
	}
	return workload.Accounts()
}

// method is what is called.
func (r *run) method() string { return cmp.Or(r.cfg.Method, workload.Method) }

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
