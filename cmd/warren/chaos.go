package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos"
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
		Description: `Starts a RabbitMQ node of its own, a server process with a store, and clients
behind a proxy; makes calls while faults happen; and judges every call and every
effect. Exit code 7 if anything was broken. It touches nothing that it did not
start. The same seed makes the same plan of faults.

Faults:
` + list.String() + `
Examples:
   warren chaos --duration 60s
   warren chaos --duration 10m --mode at-most-once --faults kill-server,cut,broker-kill --seed 7`,
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "duration", Value: time.Minute, Usage: "for how long things are broken; 1 s to 24 h"},
			&cli.StringFlag{Name: "faults", Usage: "kinds of `FAULT`, separated by commas", DefaultText: "all"},
			&cli.StringFlag{Name: "mode", Value: "transactional", Usage: "at-least-once, at-most-once or transactional"},
			&cli.Uint64Flag{Name: "seed", Usage: "draws the faults", DefaultText: "by chance"},
			&cli.IntFlag{Name: "workers", Value: 24, Usage: "calls in flight"},
			&cli.StringFlag{Name: "folder", Usage: "keep the history, the store and the report in `FOLDER`", DefaultText: "a temporary one, kept if the verdict is broken"},
			&cli.BoolFlag{Name: "json", Usage: "print one object"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
		},
		Action: runChaos,
	}
}

// chaosServerCommand is what a run starts its servers by.
func chaosServerCommand() *cli.Command {
	return &cli.Command{
		Name: "chaos-server", Usage: "a server of a chaos run", Hidden: true,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			return workload.Serve(ctx, cmd.Root().Writer, cmd.Root().ErrWriter)
		},
	}
}

func runChaos(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	cfg, err := chaosConfig(cmd)
	if err != nil {
		return err
	}
	kept := cmd.String("folder") != ""
	if !kept {
		if cfg.Folder, err = os.MkdirTemp("", "warren-chaos-"); err != nil {
			return exit(exitInternal, "%w", err)
		}
	}
	out.note("seed %d; the history is in %s", cfg.Seed, cfg.Folder)
	cfg.Progress = func(p chaos.Progress) {
		if int(p.Elapsed.Seconds())%5 == 0 {
			out.note("%4.0fs %-10s %7d calls, %7d succeeded, %5d failed, %4d faults", p.Elapsed.Seconds(), p.Phase, p.Calls, p.Succeeded, p.Failed, p.Faults)
		}
	}
	result, err := chaos.Run(ctx, cfg)
	if err != nil {
		return exit(exitInternal, "%w", err)
	}
	return reportChaos(out, result)
}

func chaosConfig(cmd *cli.Command) (chaos.Config, error) {
	cfg := chaos.Config{Duration: cmd.Duration("duration"), Seed: cmd.Uint64("seed"), Workers: cmd.Int("workers"), Folder: cmd.String("folder")}
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
	if names := cmd.String("faults"); names != "" {
		cfg.Faults = strings.Split(names, ",")
		for _, name := range cfg.Faults {
			if !slices.Contains(chaos.Faults(), name) {
				return cfg, usageError(cmd, "--faults: there is no fault %.60q", name)
			}
		}
	}
	if !cmd.IsSet("seed") {
		cfg.Seed = uint64(time.Now().UnixNano())
	}
	program, err := os.Executable()
	if err != nil {
		return cfg, exit(exitInternal, "%w", err)
	}
	cfg.Server = []string{program, "chaos-server"}
	return cfg, nil
}

func reportChaos(out *output, r *chaos.Result) error {
	for _, i := range r.Invariants {
		if err := out.printf("%-30s %8d checked %5d broken %5d undecided  < %.5f\n", i.Name, i.Checked, i.Broken, i.Undecided, i.Upper); err != nil {
			return err
		}
		for _, e := range i.Examples {
			if err := out.printf("    %s: %s\n", e.CallID, e.What); err != nil {
				return err
			}
		}
	}
	if err := out.printf("%d calls, %d succeeded; errors %v; faults %v; kills %v\n", r.Calls, r.Succeeded, r.Errors, r.Faults, r.Kills); err != nil {
		return err
	}
	if r.Verdict != "ok" {
		return exit(exitBroken, "the verdict is %s", r.Verdict)
	}
	return out.printf("verdict: ok\n")
}
