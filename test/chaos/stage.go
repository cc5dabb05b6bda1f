package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/warren-rpc/warren/test/chaos/disk"
	"github.com/warren-rpc/warren/test/chaos/netns"
	"github.com/warren-rpc/warren/test/chaos/proc"
	"github.com/warren-rpc/warren/test/chaos/proxy"
	"github.com/warren-rpc/warren/test/chaos/workload"
	"github.com/warren-rpc/warren/test/rabbit"
)

// stage is all that is started to be broken.
type stage struct {
	cluster *rabbit.Cluster
	nodes   []*rabbit.Node
	broker  sync.Mutex // held by who does something to a node
	taking  sync.Mutex // held by who does something to messages

	near, far gate      // the clients' way to the broker, and the servers'
	database  *database // of a backend that is shared
	wire      *netns.Pair
	disk      *disk.Disk
	storage   sync.Mutex // held by who does something to the disk

	spec    workload.Spec // what those of all processes have in common
	servers []serving
	caller  *proc.Process
	memory  memory
}

// serving is a process that serves the method, by its name in the history.
type serving struct {
	*proc.Process

	name string
}

// gate is a way to the broker: a proxy for each node.
type gate struct {
	nodes   []*rabbit.Node
	proxies []*proxy.Proxy
}

// urls are the addresses of all nodes, as a user, beginning with one of them.
func (g gate) urls(user string, first int) []string {
	urls := make([]string, len(g.nodes))
	for i := range urls {
		n := (first + i) % len(urls)
		urls[i] = g.proxies[n].URL(g.nodes[n].URLAs(user, user, "/"))
	}
	return urls
}

// setUp starts the broker, the proxies and the processes, and returns the kinds of
// fault that can be had.
func (r *run) setUp(ctx context.Context, chosen []choice) (had []choice, err error) {
	options := rabbit.ClusterOptions{Nodes: r.cfg.Nodes}
	if slices.ContainsFunc(chosen, func(k choice) bool { return k.needs == ownLimits }) && r.cfg.Request == nil {
		options.Node.Config = limits()
	}
	if r.cluster, err = rabbit.StartCluster(ctx, options); err != nil {
		return nil, err
	}
	r.nodes = r.cluster.Nodes()
	all := ".*"
	if err := r.nodes[0].AddUser(ctx, workload.Stranger, workload.Stranger, "/", all, all, all); err != nil {
		return nil, err
	}
	for _, k := range chosen {
		if err := r.provide(k); err != nil {
			if len(r.cfg.Faults) > 0 {
				return nil, fmt.Errorf("chaos: there is no %s here: %w", k.name, err)
			}
			r.missing[k.name] = err.Error()
			continue
		}
		had = append(had, k)
	}
	if r.near, err = r.openGate(nil); err != nil {
		return nil, err
	}
	if r.far, err = r.openGate(r.wire); err != nil {
		return nil, err
	}
	if r.cfg.Backend.Shared() {
		failsOver := slices.ContainsFunc(had, func(k choice) bool { return k.needs == aStandby })
		if err := r.startDatabase(ctx, failsOver); err != nil {
			return nil, err
		}
		if err := r.database.open(r, r.wire); err != nil {
			return nil, err
		}
	}
	r.spec.Clock = slices.ContainsFunc(had, func(k choice) bool { return k.name == "clock" })
	return had, r.startProcesses(ctx)
}

// need is what a kind of fault takes beside a broker.
type need int

const (
	nothing need = iota
	aCaller
	ownOperations
	ownLimits
	aMemory
	aWire
	aDisk
	aDatabase
	aStandby
)

// diskSize is that of the disk for the store. Only what is written takes room.
const diskSize = 4 << 30

// provide sees to it that there is what a kind of fault needs.
func (r *run) provide(k choice) (err error) {
	shared := r.cfg.Backend.Shared()
	if k.only == storeSide && !shared {
		return errInFile
	}
	switch n := k.needs; n {
	case nothing:
	case aDatabase, aStandby:
		if !shared {
			return errInFile
		}
	case aCaller:
		if len(r.cfg.Caller) == 0 {
			return errors.New("Config.Caller is not set")
		}
	case ownOperations, ownLimits, aMemory:
		if r.cfg.Request != nil {
			return errors.New("the method must be workload.Method")
		}
		r.memory.wanted = r.memory.wanted || n == aMemory
	case aWire:
		if r.wire == nil {
			r.wire, err = netns.New()
		}
	case aDisk:
		if shared {
			return errors.New("the store is in PostgreSQL, on a disk of its own")
		}
		if r.disk == nil {
			r.disk, err = disk.New(disk.Options{Size: diskSize, Kind: disk.Ext4})
		}
	}
	return err
}

var errInFile = errors.New("the store is a file")

// openGate makes the proxies, on the far side of the wire if there is one.
func (r *run) openGate(wire *netns.Pair) (g gate, err error) {
	g.nodes = r.nodes
	for i, node := range r.nodes {
		seed := uint64(2 * i)
		if wire != nil {
			seed++
		}
		p, err := r.openProxy(node.Addr(), wire, seed)
		if err != nil {
			return g, err
		}
		g.proxies = append(g.proxies, p)
	}
	return g, nil
}

func (r *run) openProxy(target string, wire *netns.Pair, seed uint64) (_ *proxy.Proxy, err error) {
	options := proxy.Options{Seed: r.cfg.Seed + seed}
	if wire != nil {
		if options.Listener, err = wire.B.Listen("tcp", wire.B.Addr()+":0"); err != nil {
			return nil, err
		}
	}
	return proxy.New(target, options)
}

// startProcesses starts the servers and, if there is one, the client.
func (r *run) startProcesses(ctx context.Context) (err error) {
	if err := r.cfg.Backend.Create(ctx, r.readable(mainStore)); err != nil {
		return err
	}
	r.spec.Folder, r.spec.Store, r.spec.Start, r.spec.Mode = r.cfg.Folder, r.place(mainStore), r.began, r.cfg.Mode
	for n := range r.cfg.Servers {
		spec := r.spec
		spec.Name = "server"
		if r.cfg.Servers > 1 {
			spec.Name = fmt.Sprintf("server-%d", n+1)
		}
		spec.URLs = r.far.urls(workload.User, n)
		p, err := r.startProcess(ctx, r.cfg.Server, spec, r.remote(), spec.Name+".log")
		if err != nil {
			return err
		}
		r.servers = append(r.servers, serving{p, spec.Name})
	}
	if r.memory.wanted {
		if err := r.startMemory(ctx); err != nil {
			return err
		}
	}
	if len(r.cfg.Caller) == 0 {
		return nil
	}
	spec := r.spec
	spec.URLs = r.near.urls(workload.User, 1)
	spec.Workers, spec.Timeout, spec.Seed = max(1, r.cfg.Workers/4), r.cfg.Timeout, r.cfg.Seed
	r.caller, err = r.startProcess(ctx, r.cfg.Caller, spec, proc.Options{}, "caller.log")
	return err
}

// remote has a process on the far side of the wire, if there is one.
func (r *run) remote() (o proc.Options) {
	if r.wire != nil {
		o.Enter = r.wire.A.Do
	}
	return o
}

func (r *run) startProcess(
	ctx context.Context, program []string, spec workload.Spec, options proc.Options, log string,
) (*proc.Process, error) {
	env, err := spec.Environ()
	if err != nil {
		return nil, err
	}
	options.Path, options.Args, options.Env = program[0], program[1:], []string{env}
	options.Log, options.Seed = filepath.Join(r.cfg.Folder, log), r.cfg.Seed
	options.Ready, options.ReadyWithin = workload.Ready, time.Minute
	return proc.Start(ctx, options)
}

// mainStore is the store of the servers that all calls go to.
const mainStore = "store"

// place is where the servers find a store. See [workload.Backend].
func (r *run) place(store string) string {
	if r.database != nil {
		return r.database.url(store, false)
	}
	if r.disk != nil && store == mainStore {
		return filepath.Join(r.disk.Path(), workload.StoreName)
	}
	return r.readable(store)
}

// readable is where the run makes it, and reads it once the servers have ended.
func (r *run) readable(store string) string {
	if r.database != nil {
		return r.database.url(store, true)
	}
	return filepath.Join(r.cfg.Folder, store+".db")
}

// victims are the processes that can be killed.
func (r *run) victims() (all []*proc.Process) {
	for _, s := range r.servers {
		all = append(all, s.Process)
	}
	if r.caller != nil {
		all = append(all, r.caller)
	}
	return all
}

// endProcesses ends all that could still write to a store.
func (r *run) endProcesses() (err error) {
	for _, p := range append(r.victims(), r.memory.server) {
		if p != nil {
			err = errors.Join(err, p.Close())
		}
	}
	if r.disk != nil && len(r.servers) > 0 {
		err = errors.Join(err, copyFile(r.readable(mainStore), r.place(mainStore)))
	}
	return err
}

// tearDown ends what else setUp has started.
func (r *run) tearDown() (err error) {
	for _, p := range slices.Concat(r.near.proxies, r.far.proxies) {
		err = errors.Join(err, p.Close())
	}
	if r.wire != nil {
		err = errors.Join(err, r.wire.Close())
	}
	if r.cluster != nil {
		err = errors.Join(err, r.cluster.Close())
	}
	if r.database != nil {
		err = errors.Join(err, r.database.close())
	}
	if r.disk != nil {
		err = errors.Join(err, r.disk.Close())
	}
	return err
}

func copyFile(to, from string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("chaos: keep the store: %w", err)
	}
	defer func() { _ = source.Close() }()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("chaos: keep the store: %w", err)
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

func (r *run) withBroker(do func() error) error { return with(&r.broker, do) }

func with(turn *sync.Mutex, do func() error) error {
	turn.Lock()
	defer turn.Unlock()
	return do()
}
