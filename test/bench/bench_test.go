package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/rabbit"
)

// workerArg as first argument makes this test binary a worker, so that the tests
// need no other program.
const workerArg = "bench-worker"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == workerArg {
		if err := Worker(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// For the workers: a data race ends them, which is noticed, unlike their exit
	// status; and they need not wait a second for others when they end.
	if err := os.Setenv("GORACE", "halt_on_error=1 atexit_sleep_ms=0"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(rabbit.Main(m))
}

func TestEveryVariantIsMeasured(t *testing.T) {
	t.Parallel()
	profiles := t.TempDir()
	var out bytes.Buffer
	options := Options{
		URL:        rabbit.VHost(t),
		BrokerCPU:  rabbit.Shared(t).CPU,
		Sizes:      []int{64},
		Inflight:   []int{4},
		Rounds:     1,
		Duration:   300 * time.Millisecond,
		WarmUp:     50 * time.Millisecond,
		JSON:       true,
		Out:        &out,
		ProfileDir: profiles,
	}
	if err := Run(t.Context(), options); err != nil {
		t.Fatal(err)
	}

	lines := json.NewDecoder(&out)
	for _, name := range Variants() {
		var s summary
		if err := lines.Decode(&s); err != nil {
			t.Fatalf("no line for %s: %v", name, err)
		}
		if s.Variant != name || s.Size != 64 || s.Inflight != 4 {
			t.Errorf("the line for %s is of %s, %d bytes, %d in flight", name, s.Variant, s.Size, s.Inflight)
		}
		if s.CallsPerS < 1 || s.CallsPerS > 1e6 {
			t.Errorf("%s: %v calls/s", name, s.CallsPerS)
		}
		if s.P50us < 10 || s.P90us < s.P50us || s.P99us < s.P90us || s.P999us < s.P99us || s.MaxUs < s.P999us || s.MaxUs > 1e7 {
			t.Errorf("%s: p50 %v µs, p90 %v µs, p99 %v µs, p99.9 %v µs, max %v µs", name, s.P50us, s.P90us, s.P99us, s.P999us, s.MaxUs)
		}
		if s.Reached != nil {
			t.Errorf("%s: reached a rate that nobody asked for: %v", name, *s.Reached)
		}
		if s.ClientCPUus <= 0 || s.ServerCPUus <= 0 || s.BrokerCPUus == nil {
			t.Errorf("%s: CPU of client %v, server %v, broker %v", name, s.ClientCPUus, s.ServerCPUus, s.BrokerCPUus)
		}
		if s.ClientAllocs < 5 || s.ServerAllocs < 5 {
			t.Errorf("%s: allocations of client %v, server %v", name, s.ClientAllocs, s.ServerAllocs)
		}
		if s.WireBytes < 4*64+300 || s.WireBytes > 4000 {
			t.Errorf("%s: %v bytes per call", name, s.WireBytes)
		}
		want := "raw-best"
		if strings.Contains(name, "-quorum") {
			want = "raw-best-quorum"
		}
		if s.Ratio == nil || s.Ratio.To != want || s.Ratio.CallsPerS <= 0 || s.Ratio.WireBytes <= 0 {
			t.Errorf("%s: ratio %+v", name, s.Ratio)
		}
		for _, side := range []string{clientSide, serverSide} {
			for _, kind := range []string{"cpu", "allocs"} {
				file := fmt.Sprintf("%s-64-4-1.%s.%s", name, side, kind)
				if info, err := os.Stat(filepath.Join(profiles, file)); err != nil || info.Size() == 0 {
					t.Errorf("no profile %s: %v", file, err)
				}
			}
		}
	}
	var more any
	if err := lines.Decode(&more); !errors.Is(err, io.EOF) {
		t.Errorf("after the last variant: %v, %v", more, err)
	}
}

func TestBodiesOfAnySizeComeBackAndTheTableHasARowPerVariant(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	options := Options{
		URL:      rabbit.VHost(t),
		Variants: []string{"raw-fast", "warren-classic", "raw-best", "raw-guarantees", "raw-fast"},
		Sizes:    []int{0, 7, 300 << 10},
		Inflight: []int{2},
		Rounds:   1,
		Duration: 50 * time.Millisecond,
		WarmUp:   -1,
		Out:      &out,
	}
	if err := Run(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"echo of 0 bytes, 2 in flight", "echo of 7 bytes", "echo of 307200 bytes"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, &out)
		}
	}
	if got := strings.Count(out.String(), "raw-fast"); got != 3 {
		t.Errorf("%d rows of raw-fast, want 3:\n%s", got, &out)
	}
}

func TestManyCallsAndLargeOnesAreMeasured(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	for _, w := range []workload{{Size: 64, Inflight: 10_000}, {Size: 64 << 10, Inflight: 256}} {
		var out bytes.Buffer
		options := Options{
			URL:      url,
			Variants: []string{"warren-classic", "raw-best"},
			Sizes:    []int{w.Size},
			Inflight: []int{w.Inflight},
			Rounds:   1,
			Duration: 10 * time.Millisecond, // each caller makes a call, however long that takes
			WarmUp:   -1,
			JSON:     true,
			Out:      &out,
		}
		if err := Run(t.Context(), options); err != nil {
			t.Fatal(err)
		}
		lines := json.NewDecoder(&out)
		for _, name := range options.Variants {
			var s summary
			if err := lines.Decode(&s); err != nil {
				t.Fatal(err)
			}
			if least := 4 * float64(w.Size); s.Variant != name || s.workload != w || s.CallsPerS <= 0 || s.WireBytes < least || s.WireBytes > least+4000 {
				t.Errorf("%+v", s)
			}
		}
	}
}

func TestNoQueueIsLeftWhenARunIsInterrupted(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	options, err := Options{
		URL:      url,
		Variants: []string{"raw-guarantees-quorum"},
		Duration: time.Hour,
		Progress: io.Discard,
	}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	time.AfterFunc(time.Second, cancel)
	r := &run{options: options, id: "interrupted", conn: conn}
	if _, err := r.cell(ctx, workload{Size: 64, Inflight: 4}); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted run: %v", err)
	}
	wantNoQueue(t, conn, "bench.interrupted.1")
}

func TestAServerDeletesItsQueueWhenItsParentIsGone(t *testing.T) {
	t.Parallel()
	s := spec{URL: rabbit.VHost(t), Queue: "bench.orphan", workload: workload{Size: 1, Inflight: 1}}
	conn, err := dial(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, name := range Variants() {
		p, err := startWorker(t.Context(), []string{os.Args[0], workerArg}, serverSide, name, s)
		if err != nil {
			t.Fatal(err)
		}
		m, err := p.receive(t.Context())
		p.stop() // its input ends, as it would if this process were killed
		if err != nil || !m.Ready {
			t.Fatalf("%s: %+v, %v", name, m, err)
		}
		wantNoQueue(t, conn, s.Queue)
	}
}

func wantNoQueue(t *testing.T, conn *amqp.Connection, queue string) {
	t.Helper()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	_, err = ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	var closed *amqp.Error
	if !errors.As(err, &closed) || closed.Code != amqp.NotFound {
		t.Errorf("queue %s: %v", queue, err)
	}
}

func TestWhatAWorkerFailsForIsTold(t *testing.T) {
	t.Parallel()
	s := spec{URL: rabbit.VHost(t), Queue: "bench.nobody", workload: workload{Size: 1, Inflight: 1}, WarmUp: time.Millisecond}
	executable := []string{os.Args[0], workerArg}

	for _, name := range []string{"raw-guarantees", "raw-best"} {
		p, err := startWorker(t.Context(), executable, clientSide, name, s)
		if err != nil {
			t.Fatal(err)
		}
		defer p.stop()
		if _, err := p.receive(t.Context()); err == nil || !strings.Contains(err.Error(), errNoRoute.Error()) {
			t.Errorf("%s: a call without a server: %v", name, err)
		}
	}

	p, err := startWorker(t.Context(), executable, clientSide, "no-such-variant", s)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	if _, err := p.receive(t.Context()); err == nil || !strings.Contains(err.Error(), "no-such-variant") {
		t.Errorf("an unknown variant: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{Variants: []string{"raw"}},
		{Baseline: "raw"},
		{Sizes: []int{-1}},
		{Inflight: []int{0}},
		{Rates: []int{0}},
		{Rates: []int{1_000_001}},
		{Rounds: -1},
		{Duration: time.Millisecond},
		{WarmUp: 2 * time.Hour},
	} {
		if err := Run(t.Context(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	unreachable := Options{URL: "amqp://guest:guest@127.0.0.1:1/"}
	if err := Run(t.Context(), unreachable); !errors.Is(err, ErrBroker) {
		t.Errorf("unreachable broker: %v", err)
	}
}
