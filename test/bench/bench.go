// Package bench measures what a call costs with Warren and with the same thing
// written by hand on the AMQP library, on one broker in one run.
//
// Every variant is an echo: a client that keeps a fixed number of calls in
// flight and a server that returns the body. Client and server are processes of
// their own, so that the CPU time of each can be told apart.
//
// Figures of different machines, or of one machine at different times, do not
// compare. Therefore the variants take turns in short rounds, ratios are formed
// within a round, and what is reported is the median over the rounds.
package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/warren-rpc/warren/test/rabbit"
)

var (
	// ErrOptions is wrapped by the errors of Run that come from its options.
	ErrOptions = errors.New("bench: invalid options")

	// ErrBroker is wrapped by the errors of Run if the broker of Options.URL
	// cannot be reached, or refuses the connection, before the first round.
	ErrBroker = errors.New("bench: no connection to the broker")
)

// Options says what to measure. The zero value measures every variant on a
// private node of the machine's own RabbitMQ and prints nothing.
type Options struct {
	// URL is the broker's address. Default: a private node is started and ended.
	URL string

	// BrokerCPU returns the CPU time that the broker of URL has used so far.
	// Default: that of the private node; nil with a URL means that it is not
	// known, and the figure is left out. Ignored if URL is empty.
	BrokerCPU func() time.Duration

	// Variants are the names of what is measured, in the order of the report; see
	// Variants. Repeated names count once. Default: all of them.
	Variants []string

	// Databases are those that variants may need. Default: none.
	Databases []Database

	// Baseline is the variant to which ratios are formed. Default: the best by hand
	// on the same type of queue, which is raw-best or raw-best-quorum. Where it is
	// not among Variants there are no ratios.
	Baseline string

	// Sizes are lengths of bodies in bytes, 0 to 16 MiB. Default: 64.
	Sizes []int

	// Inflight are numbers of calls kept in flight, 1 to 100,000. Default: 1, 16,
	// 256 and 10,000. With Rates they are how many calls may be open at most; then
	// the default is 1,000.
	Inflight []int

	// Rates are numbers of calls per second, 1 to 1,000,000. At each, calls are made
	// when they are due, by a schedule that waits for nobody, and the time of a call
	// counts from then. Default: none; each call follows another.
	Rates []int

	// Rounds is how often each variant is measured for each size, number in flight
	// and rate, 1 to 1,000. Default: 5.
	Rounds int

	// Duration is how long one measurement lasts, 10 ms to 1 h. Default: 3 s.
	Duration time.Duration

	// WarmUp is how long calls are made before each measurement, at most 1 h.
	// Default: 500 ms. Negative: none.
	WarmUp time.Duration

	// Executable is the program, and its first arguments, which with two more
	// arguments calls Worker with those. Default: this program with the argument
	// "bench-worker".
	Executable []string

	// JSON writes one JSON object per line and variant instead of tables.
	JSON bool

	// Out receives the report, a part each time that all rounds of one size, number
	// in flight and rate are done. Default: it is dropped.
	Out io.Writer

	// Plot receives an SVG at the end: calls per second over the number in flight, a
	// line per variant, a panel per size. With Rates it is the 99th percentile of the
	// latency over the rate, a panel per size and number in flight. Default: none is
	// drawn.
	Plot io.Writer

	// Progress receives a line per measurement. Default: it is dropped.
	Progress io.Writer

	// ProfileDir is a folder for CPU and allocation profiles of the workers. Each
	// worker of each measurement writes its own. Default: no profiles; they cost
	// time, so a run that takes them is not one to quote.
	ProfileDir string
}

// Run measures, and writes the report to Options.Out. It returns the context's
// error when that ends, after the workers and a private node have been ended.
// The first call that fails or returns something else than its own body makes
// Run fail: figures with errors in them would not compare.
//
// Run is safe for concurrent use, but two at a time disturb each other's
// figures. The queues of a run have names of their own and are deleted.
func Run(ctx context.Context, options Options) (err error) {
	o, err := options.withDefaults()
	if err != nil {
		return err
	}
	if o.URL == "" {
		node, err := rabbit.Start(ctx, rabbit.Options{})
		if err != nil {
			return fmt.Errorf("bench: private node: %w", err)
		}
		defer node.Close()
		o.URL, o.BrokerCPU = node.URL(), node.CPU
	}
	conn, err := dial(o.URL)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBroker, err)
	}
	defer conn.Close()

	databases, stop, err := startDatabases(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	r := &run{options: o, databases: databases, id: strings.ToLower(rand.Text()[:8]), conn: conn}
	var all []summary
	for _, w := range o.workloads() {
		rounds, err := r.cell(ctx, w)
		if err != nil {
			return err
		}
		summaries := summarise(o, w, rounds)
		if err := report(o, summaries); err != nil {
			return fmt.Errorf("bench: report: %w", err)
		}
		all = append(all, summaries...)
	}
	if o.Plot == nil {
		return nil
	}
	if _, err := io.WriteString(o.Plot, plot(all)); err != nil {
		return fmt.Errorf("bench: plot: %w", err)
	}
	return nil
}

// workloads returns all that is to be measured, in the order of the report.
func (o Options) workloads() []workload {
	rates := o.Rates
	if len(rates) == 0 {
		rates = []int{0}
	}
	var all []workload
	for _, size := range o.Sizes {
		for _, inflight := range o.Inflight {
			for _, rate := range rates {
				all = append(all, workload{Size: size, Inflight: inflight, Rate: rate})
			}
		}
	}
	return all
}

// Variants returns the names of all variants in the order of the report; those that
// databases add are the last.
func Variants(databases ...Database) []string {
	var names []string
	for _, v := range withDatabases(databases) {
		names = append(names, v.name)
	}
	return names
}

func (o Options) withDefaults() (Options, error) {
	if len(o.Variants) == 0 {
		o.Variants = Variants(o.Databases...)
	}
	o.Variants = unique(o.Variants)
	for _, name := range o.Variants {
		if _, ok := lookUp(name, o.Databases); !ok {
			return o, fmt.Errorf("%w: no variant %q; there are %s", ErrOptions, name, strings.Join(Variants(o.Databases...), ", "))
		}
	}
	if _, ok := lookUp(o.Baseline, o.Databases); !ok && o.Baseline != "" {
		return o, fmt.Errorf("%w: no variant %q to compare with", ErrOptions, o.Baseline)
	}
	if len(o.Sizes) == 0 {
		o.Sizes = []int{64}
	}
	switch {
	case len(o.Inflight) > 0:
	case len(o.Rates) > 0:
		o.Inflight = []int{1000}
	default:
		o.Inflight = []int{1, 16, 256, 10_000}
	}
	o.Rounds = orDefault(o.Rounds, 5)
	o.Duration = orDefault(o.Duration, 3*time.Second)
	o.WarmUp = max(0, orDefault(o.WarmUp, 500*time.Millisecond))
	o.Out = orDiscard(o.Out)
	o.Progress = orDiscard(o.Progress)

	for _, size := range o.Sizes {
		if size < 0 || size > 16<<20 {
			return o, fmt.Errorf("%w: Sizes: %d is not within 0 to %d bytes", ErrOptions, size, 16<<20)
		}
	}
	for _, n := range o.Inflight {
		if n < 1 || n > 100_000 {
			return o, fmt.Errorf("%w: Inflight: %d is not within 1 to 100000", ErrOptions, n)
		}
	}
	for _, n := range o.Rates {
		if n < 1 || n > 1_000_000 {
			return o, fmt.Errorf("%w: Rates: %d is not within 1 to 1000000", ErrOptions, n)
		}
	}
	switch {
	case o.Rounds < 1 || o.Rounds > 1000:
		return o, fmt.Errorf("%w: Rounds: %d is not within 1 to 1000", ErrOptions, o.Rounds)
	case o.Duration < 10*time.Millisecond || o.Duration > time.Hour:
		return o, fmt.Errorf("%w: Duration: %v is not within 10ms to 1h", ErrOptions, o.Duration)
	case o.WarmUp > time.Hour:
		return o, fmt.Errorf("%w: WarmUp: %v is more than 1h", ErrOptions, o.WarmUp)
	}

	if len(o.Executable) == 0 {
		self, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("%w: Executable: %w", ErrOptions, err)
		}
		o.Executable = []string{self, "bench-worker"}
	}
	return o, nil
}

func unique(names []string) []string {
	var kept []string
	for _, name := range names {
		if !slices.Contains(kept, name) {
			kept = append(kept, name)
		}
	}
	return kept
}

func orDefault[T comparable](value, def T) T {
	var zero T
	if value == zero {
		return def
	}
	return value
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
