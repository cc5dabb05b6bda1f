package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/test/bench"
	"github.com/warren-rpc/warren/test/rabbit"
)

const benchDescription = `Measures echo calls, side by side in one run, of Warren and of the same thing by
hand on the AMQP library. Every figure is the median over the rounds, and ratios
are formed within a round: compare them, not figures of two runs. Without a URL it
starts a private RabbitMQ, which must be installed.

Examples:
   warren bench
   warren bench --sizes 64,65536 --inflight 1,256 --rounds 9 --plot bench.svg
   warren bench --rate 500,2000,5000 --variants warren-quorum,raw-best-quorum
   warren bench --json --against raw-best,raw-tutorial
   warren bench --baseline raw-guarantees --variants warren-quorum,raw-guarantees
   warren bench --baseline warren-classic --variants warren-classic,warren-classic-postgres,raw-inbox-postgres`

// What is measured unless it is said: Warren, the best by hand, and what the tutorial
// teaches. All of them would take long.
var (
	benchWarren = []string{"warren-classic", "warren-classic-one-by-one", "warren-quorum", "warren-classic-store"}
	benchByHand = []string{"raw-tutorial", "raw-best", "raw-best-quorum"}
)

func benchCommand() *cli.Command {
	names := strings.Join(bench.Variants(benchPostgres()), ", ")
	return &cli.Command{
		Name:        "bench",
		Usage:       "measure calls, side by side with calls by hand",
		Description: benchDescription,
		Flags: append([]cli.Flag{
			&cli.IntSliceFlag{Name: "sizes", Value: []int{64}, Usage: "lengths of bodies in bytes"},
			&cli.IntSliceFlag{Name: "inflight", Usage: "numbers of calls in flight; with --rate, at most", DefaultText: "1, 16, 256, 10000; 1000 with --rate"},
			&cli.IntSliceFlag{Name: "rate", Usage: "make so many calls per second when they are due, and count their latency from then", DefaultText: "each call follows another"},
			&cli.IntFlag{Name: "rounds", Value: 5, Usage: "how often everything is measured"},
			&cli.StringSliceFlag{Name: "against", Value: benchByHand, Usage: "what Warren is measured against, of " + names},
			&cli.StringSliceFlag{Name: "variants", Usage: "what is measured, instead of Warren and --against", DefaultText: strings.Join(benchWarren, ", ") + " and --against"},
			&cli.StringFlag{Name: "baseline", Usage: "the `VARIANT` that all are held to", DefaultText: "raw-best, and of quorum queues raw-best-quorum"},
			&cli.DurationFlag{Name: "duration", Value: 2 * time.Second, Usage: "how long one measurement lasts"},
			&cli.DurationFlag{Name: "warm-up", Value: 500 * time.Millisecond, Usage: "how long calls are made before it"},
			&cli.StringFlag{Name: "plot", Usage: "draw calls per second, or latency over --rate, into this SVG `FILE`", TakesFile: true},
			&cli.StringFlag{Name: "profiles", Usage: "write CPU and allocation profiles into this `FOLDER`, which costs time"},
		}, urlFlags("a private broker")...),
		Action: runBench,
	}
}

func runBench(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	if _, err := arguments(cmd, 0, 0); err != nil {
		return err
	}
	brokers, err := brokerURLs(cmd)
	if err != nil {
		return err
	}
	options := bench.Options{
		Variants: slices.Concat(benchWarren, cmd.StringSlice("against")), Baseline: cmd.String("baseline"),
		Sizes: cmd.IntSlice("sizes"), Inflight: cmd.IntSlice("inflight"), Rates: cmd.IntSlice("rate"), Rounds: cmd.Int("rounds"),
		Duration: cmd.Duration("duration"), WarmUp: cmd.Duration("warm-up"), ProfileDir: cmd.String("profiles"),
		JSON: out.json, Out: out.stdout, Progress: out.stderr, Databases: []bench.Database{benchPostgres()},
	}
	if out.quiet {
		options.Progress = io.Discard
	}
	if err := benchBounds(cmd); err != nil {
		return err
	}
	flag := "against"
	if cmd.IsSet("variants") {
		if cmd.IsSet(flag) {
			return usageError(cmd, "--against and --variants exclude each other")
		}
		flag, options.Variants = "variants", cmd.StringSlice("variants")
	}
	for _, name := range options.Variants {
		if !slices.Contains(bench.Variants(benchPostgres()), name) {
			return usageError(cmd, "--%s: there is no variant %.60q", flag, name)
		}
	}
	if base := options.Baseline; cmd.IsSet("baseline") && !slices.Contains(bench.Variants(benchPostgres()), base) {
		return usageError(cmd, "--baseline: there is no variant %.60q", base)
	}
	switch len(brokers) {
	case 0:
		out.note("starting a private RabbitMQ")
	case 1:
		options.URL = brokers[0]
	default:
		return usageError(cmd, "it measures one broker: give one URL")
	}
	path := cmd.String("plot")
	if path == "" {
		return benchError(ctx, cmd, bench.Run(ctx, options))
	}
	return withPlot(path, func(plot io.Writer) error {
		options.Plot = plot
		return benchError(ctx, cmd, bench.Run(ctx, options))
	})
}

// withPlot lets run write a file, which takes its name when run succeeds. A folder
// that cannot be written to is told before.
func withPlot(path string, run func(io.Writer) error) (err error) {
	plot, err := os.CreateTemp(filepath.Dir(path), ".warren-bench-*.svg")
	if err != nil {
		return exit(exitInternal, "--plot: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(plot.Name())
		}
	}()
	err = run(plot)
	if closeErr := plot.Close(); err == nil && closeErr != nil {
		err = exit(exitInternal, "--plot: %w", closeErr)
	}
	if err != nil {
		return err
	}
	if err := os.Rename(plot.Name(), path); err != nil {
		return exit(exitInternal, "--plot: %w", err)
	}
	return nil
}

// benchBounds refuses, before a broker is started, what bench.Run would, and
// the zeros that mean a default to it.
func benchBounds(cmd *cli.Command) error {
	for _, size := range cmd.IntSlice("sizes") {
		if err := within(cmd, "sizes", size, 0, 16<<20); err != nil {
			return err
		}
	}
	for _, n := range cmd.IntSlice("inflight") {
		if err := within(cmd, "inflight", n, 1, 100_000); err != nil {
			return err
		}
	}
	for _, n := range cmd.IntSlice("rate") {
		if err := within(cmd, "rate", n, 1, 1_000_000); err != nil {
			return err
		}
	}
	if err := within(cmd, "rounds", cmd.Int("rounds"), 1, 1000); err != nil {
		return err
	}
	if err := within(cmd, "duration", cmd.Duration("duration"), 10*time.Millisecond, time.Hour); err != nil {
		return err
	}
	return within(cmd, "warm-up", cmd.Duration("warm-up"), time.Millisecond, time.Hour)
}

func benchError(ctx context.Context, cmd *cli.Command, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return interrupted()
	case errors.Is(err, bench.ErrOptions):
		return usageError(cmd, "%v", err)
	case errors.Is(err, bench.ErrBroker), noPrivateBroker(err):
		return exit(exitBroker, "%w", err)
	default:
		return exit(exitInternal, "%w", err)
	}
}

// noPrivateBroker reports whether this machine cannot have a broker of its own.
func noPrivateBroker(err error) bool {
	return errors.Is(err, rabbit.ErrNotInstalled) || errors.Is(err, errors.ErrUnsupported)
}

// benchWorkerCommand is what bench starts its clients and servers by.
func benchWorkerCommand() *cli.Command {
	return &cli.Command{
		Name:            "bench-worker",
		Usage:           "one side of a measurement",
		Hidden:          true,
		SkipFlagParsing: true,
		Action: func(_ context.Context, cmd *cli.Command) error {
			if err := bench.Worker(cmd.Args().Slice(), benchPostgres()); err != nil {
				return exit(exitInternal, "%w", err)
			}
			return nil
		},
	}
}
