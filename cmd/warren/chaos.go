package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/cmd/warren/internal/chaospg"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos"
	"github.com/warren-rpc/warren/test/chaos/check"
	chaosreport "github.com/warren-rpc/warren/test/chaos/report"
	"github.com/warren-rpc/warren/test/chaos/workload"
)

func chaosCommand() *cli.Command {
	var list strings.Builder
	for _, name := range chaos.Faults() {
		fmt.Fprintf(&list, "   %-18s %s\n", name, chaos.Describe(name))
	}
	return &cli.Command{
		Name:  "chaos",
		Usage: "make calls while everything around them is broken, and check what was promised",
		Description: `Starts a RabbitMQ broker of its own, a server process with a store, and clients
behind a proxy, some of them in a process of their own; makes calls while faults happen; and judges every call and every
effect. With --store postgres it starts a PostgreSQL, too, and several servers that share it. Exit code 7 if anything was
broken. It touches nothing that it did not start. The same seed makes the same plan of faults.

Faults:
` + list.String() + `
Examples:
   warren chaos --duration 60s
   warren chaos --duration 10m --mode at-most-once --faults kill-server,cut,broker-kill --seed 7
   warren chaos --duration 60s --store postgres --servers 3 --faults kill-server,postgres-failover,cut:store`,
		Flags: append([]cli.Flag{
			&cli.DurationFlag{Name: "duration", Value: time.Minute, Usage: "for how long things are broken; 1 s to 24 h"},
			&cli.StringFlag{Name: "faults", Usage: "kinds of `FAULT`, separated by commas; cut:clients, cut:server and cut:store strike one side", DefaultText: "all"},
			&cli.StringFlag{Name: "mode", Value: "transactional", Usage: "at-least-once, at-most-once or transactional"},
			&cli.StringFlag{Name: "store", Value: storeFile, Usage: "where servers keep what they remember: file or postgres"},
			&cli.IntFlag{Name: "servers", Usage: "of the method, 1 to 9; a file has one", DefaultText: "1, or 3 with postgres"},
			&cli.Uint64Flag{Name: "seed", Usage: "draws the faults", DefaultText: "by chance"},
			&cli.IntFlag{Name: "nodes", Value: 1, Usage: "of the broker, 1 to 7"},
			&cli.IntFlag{Name: "workers", Value: 24, Usage: "calls in flight"},
			&cli.DurationFlag{Name: "grace", Value: 100 * time.Millisecond, Usage: "how late a call may end; what the machine stood still is added"},
			&cli.DurationFlag{Name: "recovery", Value: 10 * time.Second, Usage: "how soon after a fault a call must succeed"},
			&cli.StringFlag{Name: "folder", Usage: "leave the history, the store and the report in `FOLDER`", DefaultText: "a temporary one"},
		}, outputFlags()...),
		Action: runChaos,
	}
}

// Names of the commands that a run starts its processes by.
const (
	chaosServer = "chaos-server"
	chaosClient = "chaos-client"
)

// Kinds of store that a run can have.
const (
	storeFile     = "file"
	storePostgres = "postgres"
)

var chaosBackends = map[string]workload.Backend{storeFile: workload.File{}, storePostgres: chaospg.Backend{}}

func chaosServerCommand() *cli.Command {
	return &cli.Command{
		Name: chaosServer, Usage: "a server of a chaos run, by the kind of its store", Hidden: true,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			backend, ok := chaosBackends[cmd.Args().First()]
			if !ok {
				return usageError(cmd, "a server of a chaos run has the store %s or %s", storeFile, storePostgres)
			}
			return workload.ServeOn(ctx, backend, screenOf(cmd.Root().Writer).raw, cmd.Root().ErrWriter, nil)
		},
	}
}

func chaosClientCommand() *cli.Command {
	return &cli.Command{
		Name: chaosClient, Usage: "a client of a chaos run", Hidden: true,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			return workload.Call(ctx, screenOf(cmd.Root().Writer).raw, cmd.Root().ErrWriter)
		},
	}
}

func runChaos(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	cfg, err := chaosConfig(cmd)
	if err != nil {
		return err
	}
	if cfg.Folder == "" {
		if cfg.Folder, err = os.MkdirTemp("", "warren-chaos-"); err != nil {
			return exit(exitInternal, "%w", err)
		}
	}
	out.note("seed %d; what it leaves is in %s", cfg.Seed, cfg.Folder)
	told := time.Now()
	cfg.Progress = func(p chaos.Progress) {
		if time.Since(told) < progressEvery {
			return
		}
		told = time.Now()
		out.note("%4.0fs %-10s %7d calls, %7d succeeded, %6d failed, %4d faults",
			p.Elapsed.Seconds(), p.Phase, p.Calls, p.Succeeded, p.Failed, p.Faults)
	}
	result, err := chaos.Run(ctx, cfg)
	if err != nil {
		if ctx.Err() != nil {
			return interrupted()
		}
		return exit(exitInternal, "%w", err)
	}
	run := result.Run()
	run.Command = fmt.Sprintf("warren chaos --duration %v --mode %v --seed %d", cfg.Duration, cfg.Mode, cfg.Seed)
	if cfg.Backend.Shared() {
		run.Command += fmt.Sprintf(" --store %s --servers %d", cmd.String("store"), result.Config.Servers)
	}
	if cmd.IsSet("workers") {
		run.Command += fmt.Sprintf(" --workers %d", cfg.Workers)
	}
	if cfg.Nodes > 1 {
		run.Command += fmt.Sprintf(" --nodes %d", cfg.Nodes)
	}
	if len(cfg.Faults) > 0 {
		run.Command += " --faults " + strings.Join(cfg.Faults, ",")
	}
	return tellChaos(out, run, filepath.Join(cfg.Folder, "report.html"))
}

// progressEvery is how often a run says how it stands.
const progressEvery = 5 * time.Second

// tellChaos prints the verdict and writes the page.
func tellChaos(out *output, run chaosreport.Run, path string) error {
	page, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the folder is the user's choice
	if err != nil {
		return exit(exitInternal, "%w", err)
	}
	if err := errors.Join(chaosreport.HTML(page, run), page.Close()); err != nil {
		return exit(exitInternal, "write the report: %w", err)
	}
	write := chaosreport.Text
	if out.json {
		write = chaosreport.JSON
	}
	out.stdout.result = true
	if err := write(out.stdout, run); err != nil {
		return written(err)
	}
	out.note("the report as a page: %s", path)
	if run.Report.Verdict != check.OK {
		return exit(exitBroken, "the verdict is %s", run.Report.Verdict)
	}
	return nil
}

func chaosConfig(cmd *cli.Command) (chaos.Config, error) {
	cfg := chaos.Config{
		Duration: cmd.Duration("duration"), Seed: cmd.Uint64("seed"), Workers: cmd.Int("workers"), Folder: cmd.String("folder"),
		Grace: cmd.Duration("grace"), Recovery: cmd.Duration("recovery"), Nodes: cmd.Int("nodes"), Servers: cmd.Int("servers"),
	}
	if _, err := arguments(cmd, 0, 0); err != nil {
		return cfg, err
	}
	i := slices.IndexFunc(storeModes, func(m server.Mode) bool { return m.String() == cmd.String("mode") })
	if i < 0 {
		return cfg, usageError(cmd, "--mode is %.60q; it must be at-least-once, at-most-once or transactional", cmd.String("mode"))
	}
	cfg.Mode = storeModes[i]
	if err := within(cmd, "duration", cfg.Duration, time.Second, 24*time.Hour); err != nil {
		return cfg, err
	}
	if err := within(cmd, "workers", cfg.Workers, 1, 10_000); err != nil {
		return cfg, err
	}
	if err := within(cmd, "nodes", cfg.Nodes, 1, 7); err != nil {
		return cfg, err
	}
	var known bool
	if cfg.Backend, known = chaosBackends[cmd.String("store")]; !known {
		return cfg, usageError(cmd, "--store is %.60q; it must be %s or %s", cmd.String("store"), storeFile, storePostgres)
	}
	if cmd.IsSet("servers") {
		if err := within(cmd, "servers", cfg.Servers, 1, 9); err != nil {
			return cfg, err
		}
		if cfg.Servers > 1 && !cfg.Backend.Shared() {
			return cfg, usageError(cmd, "--servers is %d; a store in a file has one: see --store", cfg.Servers)
		}
	}
	if err := within(cmd, "grace", cfg.Grace, time.Millisecond, time.Minute); err != nil {
		return cfg, err
	}
	if err := within(cmd, "recovery", cfg.Recovery, time.Second, time.Hour); err != nil {
		return cfg, err
	}
	if names := cmd.String("faults"); names != "" {
		cfg.Faults = strings.Split(names, ",")
		if err := chaos.Check(cfg.Faults); err != nil {
			return cfg, usageError(cmd, "--faults: %s", strings.TrimPrefix(err.Error(), "chaos: "))
		}
	}
	if !cmd.IsSet("seed") {
		cfg.Seed = uint64(time.Now().UnixNano())
	}
	program, err := os.Executable()
	if err != nil {
		return cfg, exit(exitInternal, "%w", err)
	}
	cfg.Server, cfg.Caller = []string{program, chaosServer, cmd.String("store")}, []string{program, chaosClient}
	return cfg, nil
}
