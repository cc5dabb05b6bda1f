package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/test/bench"
	"github.com/warren-rpc/warren/test/rabbit"
)

const benchDescription = `Measures echo calls, side by side in one run, of Warren and of the same thing by
hand on the AMQP library. Every figure is the median over the rounds. Without a
URL it starts a private RabbitMQ, which must be installed.

Examples:
   warren bench
   warren bench --sizes 64,4096 --inflight 1,256 --rounds 9
   warren bench --json --against raw-fast,raw-guarantees`

func benchCommand() *cli.Command {
	byHand, _ := benchVariants()
	return &cli.Command{
		Name:        "bench",
		Usage:       "measure calls, side by side with calls by hand",
		Description: benchDescription,
		Flags: append([]cli.Flag{
			&cli.IntSliceFlag{Name: "sizes", Value: []int{64}, Usage: "lengths of bodies in bytes"},
			&cli.IntSliceFlag{Name: "inflight", Value: []int{1, 16, 256}, Usage: "numbers of calls in flight"},
			&cli.IntFlag{Name: "rounds", Value: 5, Usage: "how often everything is measured"},
			&cli.StringSliceFlag{Name: "against", Usage: "variants by hand to compare with: " + strings.Join(byHand, ", "), DefaultText: "all"},
			&cli.DurationFlag{Name: "duration", Value: 3 * time.Second, Usage: "how long one measurement lasts"},
			&cli.DurationFlag{Name: "warm-up", Value: 500 * time.Millisecond, Usage: "how long calls are made before it"},
			&cli.StringFlag{Name: "profiles", Usage: "write CPU and allocation profiles into this `FOLDER`, which costs time"},
		}, urlFlags("a private broker")...),
		Action: runBench,
	}
}

// benchVariants tells Warren's variants from those by hand.
func benchVariants() (byHand, ours []string) {
	for _, name := range bench.Variants() {
		if strings.HasPrefix(name, "warren-") {
			ours = append(ours, name)
		} else {
			byHand = append(byHand, name)
		}
	}
	return byHand, ours
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
		Sizes: cmd.IntSlice("sizes"), Inflight: cmd.IntSlice("inflight"), Rounds: cmd.Int("rounds"),
		Duration: cmd.Duration("duration"), WarmUp: cmd.Duration("warm-up"), ProfileDir: cmd.String("profiles"),
		JSON: out.json, Out: out.stdout, Progress: out.stderr,
	}
	if out.quiet {
		options.Progress = io.Discard
	}
	if err := benchBounds(cmd); err != nil {
		return err
	}
	byHand, ours := benchVariants()
	if cmd.IsSet("against") {
		byHand = cmd.StringSlice("against")
		for _, name := range byHand {
			if !slices.Contains(bench.Variants(), name) {
				return usageError(cmd, "--against: there is no variant %.60q", name)
			}
		}
	}
	options.Variants = append(ours, byHand...)
	switch len(brokers) {
	case 0:
		out.note("starting a private RabbitMQ")
	case 1:
		options.URL = brokers[0]
	default:
		return usageError(cmd, "it measures one broker: give one URL")
	}
	return benchError(ctx, cmd, bench.Run(ctx, options))
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
			if err := bench.Worker(cmd.Args().Slice()); err != nil {
				return exit(exitInternal, "%w", err)
			}
			return nil
		},
	}
}
