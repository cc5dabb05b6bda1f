package main

import (
	"context"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/reliability/simulate"
)

const policySimulateDescription = `Runs calls of METHOD under its policy of FILE through a simulation, in which the
servers are away for a while, fail at times and are slow at times, and shows what
becomes of the calls and how much load the retries add. Nothing is called: what
decides is the policy's own code, on virtual time. docs/simulation.md says what
is modelled and what is not.

An outage is "silent" (servers are gone, requests wait in their queue), "refused"
(servers answer at once that they are unavailable), "no_route" (the queue is gone)
or "broker" (the broker is gone, requests wait in the clients).

Examples:
   warren policy simulate policy.yaml orders.getAll
   warren policy simulate --outage 30s --outage-kind refused policy.yaml orders.getAll
   warren policy simulate --outage 0s --errors 0.2 --svg errors.svg policy.yaml orders.getAll
   warren policy simulate --json policy.yaml orders.getAll | jq .recovery`

func policySimulateCommand() *cli.Command {
	return &cli.Command{
		Name:        "simulate",
		Usage:       "show what a method's policy does in an outage, or when calls fail",
		ArgsUsage:   "FILE METHOD",
		Description: policySimulateDescription,
		Flags: append([]cli.Flag{
			&cli.IntFlag{
				Name: "clients", Aliases: []string{"processes"}, Value: 50,
				Usage: "processes that call, each with a breaker and a budget of its own",
			},
			&cli.FloatFlag{Name: "rate", Value: 500, Usage: "calls per second of all clients together"},
			&cli.DurationFlag{Name: "duration", Value: time.Minute, Usage: "how long calls are begun"},
			&cli.DurationFlag{Name: "latency", Value: 20 * time.Millisecond, Usage: "what half of the handlers take at most"},
			&cli.DurationFlag{
				Name: "latency-p99", Value: 200 * time.Millisecond, Usage: "what 99 in 100 handlers take at most, of lognormal",
			},
			&cli.StringFlag{Name: "latency-shape", Value: "lognormal", Usage: "lognormal, exponential or fixed"},
			&cli.IntFlag{Name: "capacity", Value: 64, Usage: "handlers that run at a time, of all servers together; 0 is any number"},
			&cli.IntFlag{Name: "queue", Usage: "requests that wait for them, before the broker refuses more; 0 is any number"},
			&cli.DurationFlag{Name: "outage", Value: 10 * time.Second, Usage: "how long the outage lasts; 0s is none"},
			&cli.DurationFlag{Name: "outage-start", Value: 20 * time.Second, Usage: "when it begins"},
			&cli.StringFlag{Name: "outage-kind", Value: "silent", Usage: "silent, refused, no_route or broker"},
			&cli.FloatFlag{Name: "errors", Usage: "part of the requests that is answered by an error, 0 to 1"},
			&cli.StringFlag{Name: "error-code", Value: "unavailable", Usage: "the error's code"},
			&cli.StringFlag{
				Name: "error-outcome", Value: "executed",
				Usage: "executed: the handler has run; not_executed: the server refused before it did",
			},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "selects the random numbers: the same seed gives the same result"},
			&cli.StringFlag{Name: "svg", Usage: "write the plot into this `FILE`"},
		}, outputFlags()...),
		Action: policySimulate,
	}
}

// policySimulation is what `warren policy simulate --json` prints.
type policySimulation struct {
	Scenario simulatedScenario `json:"scenario"`
	*simulate.Result
}

// simulatedScenario tells how to repeat it.
type simulatedScenario struct {
	Clients       int            `json:"clients"`
	Rate          float64        `json:"rate"`
	DurationMS    float64        `json:"duration_ms"`
	Seed          uint64         `json:"seed"`
	LatencyShape  simulate.Shape `json:"latency_shape"`
	LatencyP50MS  float64        `json:"latency_p50_ms"`
	LatencyP99MS  float64        `json:"latency_p99_ms"`
	Capacity      int            `json:"capacity"`
	Queue         int            `json:"queue"`
	OutageKind    simulate.Kind  `json:"outage_kind"`
	OutageStartMS float64        `json:"outage_start_ms"`
	OutageMS      float64        `json:"outage_ms"`
	Errors        float64        `json:"errors"`
	ErrorCode     warren.Code    `json:"error_code"`
	ErrorOutcome  warren.Outcome `json:"error_outcome"`
}

func policySimulate(_ context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	args, err := arguments(cmd, 2, 2)
	if err != nil {
		return err
	}
	if err := warren.CheckMethod(args[1]); err != nil {
		return usageError(cmd, "%v", err)
	}
	s, err := scenario(cmd)
	if err != nil {
		return err
	}
	file, _, err := loadPolicies(cmd, args[0])
	if err != nil {
		return err
	}
	r, err := simulate.Run(file.Rules, args[1], s)
	if err != nil {
		return usageError(cmd, "%s", flagNames.Replace(err.Error()))
	}
	if path := cmd.String("svg"); path != "" {
		if err := os.WriteFile(path, []byte(simulationSVG(r, &s)), 0o600); err != nil {
			return exit(exitUsage, "%w", err)
		}
	}
	if out.json {
		return out.object(policySimulation{Scenario: told(&s), Result: r})
	}
	return out.text(simulationTable(r, &s) + "\n" + simulationPlot(r, &s))
}

// scenario reads the flags. Bounds are simulate's business.
func scenario(cmd *cli.Command) (simulate.Scenario, error) {
	s := simulate.Scenario{
		Clients: cmd.Int("clients"), Rate: cmd.Float("rate"), Duration: cmd.Duration("duration"), Seed: cmd.Uint64("seed"),
		Latency: simulate.Latency{
			Shape: simulate.Shape(cmd.String("latency-shape")), P50: cmd.Duration("latency"), P99: cmd.Duration("latency-p99"),
		},
		Errors: simulate.Errors{Ratio: cmd.Float("errors")},
		Outage: simulate.Outage{
			Kind:  simulate.Kind(strings.ReplaceAll(cmd.String("outage-kind"), "-", "_")),
			Start: cmd.Duration("outage-start"), Length: cmd.Duration("outage"),
		},
		Capacity: cmd.Int("capacity"), Queue: cmd.Int("queue"),
	}
	var err error
	if s.Errors.Code, err = warren.ParseCode(cmd.String("error-code")); err != nil {
		return s, usageError(cmd, "--error-code: %v", err)
	}
	outcomes := []warren.Outcome{warren.Executed, warren.NotExecuted}
	i := slices.IndexFunc(outcomes, func(o warren.Outcome) bool { return o.String() == cmd.String("error-outcome") })
	if i < 0 {
		return s, usageError(cmd, "--error-outcome must be executed or not_executed, not %.40q", cmd.String("error-outcome"))
	}
	s.Errors.Outcome = outcomes[i]
	return s, nil
}

// flagNames says by which flags the fields of a scenario are set.
var flagNames = strings.NewReplacer(
	"simulate: ", "", "Scenario.Clients", "--clients", "Scenario.Rate and Duration make", "--rate and --duration make",
	"Scenario.Rate", "--rate", "Scenario.Duration", "--duration", "Scenario.Latency.Shape", "--latency-shape",
	"Scenario.Latency.P50", "--latency", "Scenario.Latency.P99", "--latency-p99", "Scenario.Errors.Ratio", "--errors",
	"Scenario.Outage.Kind", "--outage-kind", "Scenario.Outage.Start", "--outage-start", "Scenario.Outage.Length", "--outage",
	"Scenario.Capacity", "--capacity", "Scenario.Queue", "--queue",
)

func told(s *simulate.Scenario) simulatedScenario {
	return simulatedScenario{
		Clients: s.Clients, Rate: s.Rate, DurationMS: milliseconds(s.Duration), Seed: s.Seed,
		LatencyShape: s.Latency.Shape, LatencyP50MS: milliseconds(s.Latency.P50), LatencyP99MS: milliseconds(s.Latency.P99),
		Capacity: s.Capacity, Queue: s.Queue,
		OutageKind: s.Outage.Kind, OutageStartMS: milliseconds(s.Outage.Start), OutageMS: milliseconds(s.Outage.Length),
		Errors: s.Errors.Ratio, ErrorCode: s.Errors.Code, ErrorOutcome: s.Errors.Outcome,
	}
}

// series are the figures of a result that are plotted, one value for each
// second, or for several if there are more seconds than most.
type series struct {
	seconds              int // to each value
	calls, attempts      []float64
	succeeded            []float64 // part of the calls that ended, 0 to 1; NaN if none did
	open, queued         []float64
	anyOpen, anyQueued   bool
	outageFrom, outageTo float64 // as indices
}

func newSeries(r *simulate.Result, s *simulate.Scenario, most int) *series {
	width := (len(r.Seconds) + most - 1) / most
	p := &series{seconds: max(width, 1)}
	for group := range slices.Chunk(r.Seconds, p.seconds) {
		var calls, attempts, successes, ended, open, queued int
		for i := range group {
			g := &group[i]
			calls, attempts = calls+g.Calls, attempts+g.Attempts
			successes, ended = successes+g.Successes, ended+g.Successes+g.Failed()
			open, queued = max(open, g.BreakersOpen), max(queued, g.Queued)
		}
		n := float64(len(group))
		p.calls, p.attempts = append(p.calls, float64(calls)/n), append(p.attempts, float64(attempts)/n)
		rate := math.NaN()
		if ended > 0 {
			rate = float64(successes) / float64(ended)
		}
		p.succeeded = append(p.succeeded, rate)
		p.open, p.queued = append(p.open, float64(open)), append(p.queued, float64(queued))
		p.anyOpen, p.anyQueued = p.anyOpen || open > 0, p.anyQueued || queued > 0
	}
	if s.Outage.Length > 0 {
		per := float64(p.seconds)
		p.outageFrom, p.outageTo = s.Outage.Start.Seconds()/per, s.Outage.End().Seconds()/per
	}
	return p
}
