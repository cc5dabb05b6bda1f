package bench

import (
	"slices"
	"time"
)

// summary is what a run found about one variant under one workload: each figure is the median over the rounds. CPU, allocations and bytes
// are per call.
type summary struct {
	Variant string `json:"variant"`
	workload
	CallsPerS    float64  `json:"calls_per_s"`
	P50us        float64  `json:"p50_us"`
	P90us        float64  `json:"p90_us"`
	P99us        float64  `json:"p99_us"`
	P999us       float64  `json:"p999_us"`
	MaxUs        float64  `json:"max_us"`
	ClientCPUus  float64  `json:"client_cpu_us"`
	ServerCPUus  float64  `json:"server_cpu_us"`
	BrokerCPUus  *float64 `json:"broker_cpu_us,omitempty"` // nil: not known
	ClientAllocs float64  `json:"client_allocs"`
	ServerAllocs float64  `json:"server_allocs"`

	// WireBytes is what both sides read and wrote on their connections, TCP's and
	// TLS's own part left out: a call makes four ways.
	WireBytes float64 `json:"wire_bytes"`

	// Reached is whether every round made the calls of its rate in its time; nil if
	// there was none.
	Reached *bool `json:"reached,omitempty"`

	// Ratio is to the baseline, nil if that was not measured.
	Ratio *ratio `json:"ratio,omitempty"`
}

// ratio has medians over the rounds of ratios within a round.
type ratio struct {
	To        string  `json:"to"`
	CallsPerS float64 `json:"calls_per_s"`
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
	CPU       float64 `json:"cpu"` // client and server together
	WireBytes float64 `json:"wire_bytes"`
}

// summarise returns a summary per variant, in the order of Options.Variants.
func summarise(o Options, w workload, rounds []round) []summary {
	summaries := make([]summary, len(o.Variants))
	for v, name := range o.Variants {
		of := func(figure func(sample) float64) float64 {
			return median(rounds, func(r round) float64 { return figure(r[v]) })
		}
		summaries[v] = summary{
			Variant:      name,
			workload:     w,
			CallsPerS:    of(func(s sample) float64 { return s.callsPerSecond() }),
			P50us:        of(func(s sample) float64 { return micros(s.P50) }),
			P90us:        of(func(s sample) float64 { return micros(s.P90) }),
			P99us:        of(func(s sample) float64 { return micros(s.P99) }),
			P999us:       of(func(s sample) float64 { return micros(s.P999) }),
			MaxUs:        of(func(s sample) float64 { return micros(s.Max) }),
			ClientCPUus:  of(func(s sample) float64 { return s.perCall(micros(s.client.CPU)) }),
			ServerCPUus:  of(func(s sample) float64 { return s.perCall(micros(s.server.CPU)) }),
			ClientAllocs: of(func(s sample) float64 { return s.perCall(float64(s.client.Allocs)) }),
			ServerAllocs: of(func(s sample) float64 { return s.perCall(float64(s.server.Allocs)) }),
			WireBytes:    of(sample.wireBytes),
		}
		if o.BrokerCPU != nil {
			broker := of(func(s sample) float64 { return s.perCall(micros(s.broker)) })
			summaries[v].BrokerCPUus = &broker
		}
		if w.Rate > 0 {
			reached := true
			for _, r := range rounds {
				reached = reached && r[v].reached(w.Rate)
			}
			summaries[v].Reached = &reached
		}
		baseline := o.baselineOf(name)
		base := slices.Index(o.Variants, baseline)
		if base < 0 {
			continue
		}
		to := func(figure func(sample) float64) float64 {
			return median(rounds, func(r round) float64 { return over(figure(r[v]), figure(r[base])) })
		}
		summaries[v].Ratio = &ratio{
			To:        baseline,
			CallsPerS: to(func(s sample) float64 { return s.callsPerSecond() }),
			P50:       to(func(s sample) float64 { return micros(s.P50) }),
			P99:       to(func(s sample) float64 { return micros(s.P99) }),
			CPU:       to(func(s sample) float64 { return s.perCall(micros(s.client.CPU + s.server.CPU)) }),
			WireBytes: to(sample.wireBytes),
		}
	}
	return summaries
}

// baselineOf returns what a variant is held to.
func (o Options) baselineOf(name string) string {
	if o.Baseline != "" {
		return o.Baseline
	}
	v, _ := lookUp(name, nil)
	return v.baseline()
}

// median of an even number of rounds is the mean of the two in the middle.
func median(rounds []round, figure func(round) float64) float64 {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = figure(r)
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// reached reports whether the calls of a schedule were made. One per cent is for
// the last of them, which take a while beyond its end.
func (t tally) reached(rate int) bool {
	return t.Unsent == 0 && t.callsPerSecond() >= 0.99*float64(rate)
}

func (s sample) wireBytes() float64 { return s.perCall(float64(s.client.Wire + s.server.Wire)) }

func (s sample) perCall(total float64) float64 { return over(total, float64(s.Calls)) }

// over is 0 where there is nothing to divide by: JSON has no infinity.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
