package main

import (
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

var demoKeys = []string{
	"calls", "ok", "errors", "kills", "lost", "mismatched", "duplicate_effects", "p50_ms", "p95_ms", "p99_ms",
}

func TestDemoLosesNoCallWhileServersAreKilled(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	r := invoke(t, url, "demo", "--json", "--calls", "300", "--kills", "5", "--rate", "0", "--seed", "1").want(t, 0)
	object := wantKeys(t, r.object(t), demoKeys...)
	for key, want := range map[string]float64{"calls": 300, "ok": 300, "kills": 5, "lost": 0, "mismatched": 0} {
		if object[key] != want {
			t.Errorf("%s is %v, want %v", key, object[key], want)
		}
	}
	if errors, ok := object["errors"].(map[string]any); !ok || len(errors) != 0 {
		t.Errorf("errors is %v", object["errors"])
	}
	// Of the five points, three come after the effect.
	if repeated, ok := object["duplicate_effects"].(float64); !ok || repeated < 1 {
		t.Errorf("duplicate_effects is %v", object["duplicate_effects"])
	}
	p50, ok := object["p50_ms"].(float64)
	p99, ok99 := object["p99_ms"].(float64)
	if !ok || !ok99 || p50 <= 0 || p99 < p50 {
		t.Errorf("p50 %v, p99 %v", object["p50_ms"], object["p99_ms"])
	}
	if progress := r.stderr.String(); !strings.Contains(progress, "300/300 answered") || !strings.Contains(progress, "kills 5/5") {
		t.Errorf("progress: %s", progress)
	}
	patience.Eventually(t, "no queue is left", func() bool { return len(queues(t, url)) == 0 })
}

func TestDemoKillsTheOnlyServerAsOftenAsItIsCalled(t *testing.T) {
	t.Parallel()
	r := invoke(t, rabbit.VHost(t), "demo", "--json", "--quiet", "--calls", "5", "--kills", "5", "--servers", "1").want(t, 0)
	if object := r.object(t); object["ok"] != 5.0 || object["kills"] != 5.0 {
		t.Errorf("the result is %v", object)
	}
	if r.said() != "" {
		t.Errorf("standard error: %q", r.stderr.String())
	}
}

func TestDemoBringsABrokerOfItsOwn(t *testing.T) {
	t.Parallel()
	for over, args := range map[string][]string{"a broker in memory": nil, "RabbitMQ": {"--rabbitmq"}} {
		r := invoke(t, "", append([]string{"demo", "--calls", "60", "--kills", "2"}, args...)...).want(t, 0)
		for _, want := range []string{
			over, "answered", "servers killed", "executed more than once", "p95", "Every call was answered",
		} {
			if !strings.Contains(r.stdout.String(), want) {
				t.Errorf("no %q in %s", want, r.stdout.String())
			}
		}
		if told := strings.Contains(r.stderr.String(), "for RabbitMQ set WARREN_URL=amqp://"); told != (args == nil) {
			t.Errorf("standard error: %s", r.stderr.String())
		}
	}
}

func TestInterruptedDemoLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	r := command(url, "demo", "--calls", "100000", "--kills", "1000").start(t)
	patience.Eventually(t, "servers have been killed", func() bool { return strings.Contains(r.stderr.String(), "(server ") })
	send(t, r, syscall.SIGINT)
	r.wait(t).want(t, exitInterrupted)
	if r.stdout.String() != "" {
		t.Errorf("standard output: %q", r.stdout.String())
	}
	patience.Eventually(t, "no queue is left", func() bool { return len(queues(t, url)) == 0 })
}

// Its servers end with it, and so does all else that it has started.
func TestServersOfAKilledDemoEnd(t *testing.T) {
	t.Parallel()
	r := command(rabbit.VHost(t), "demo", "--calls", "100000", "--kills", "0", "--servers", "3").start(t)
	patience.Eventually(t, "calls are made", func() bool { return strings.Contains(r.stderr.String(), "answered") })
	started := children(t, r.cmd.Process.Pid)
	servers := 0
	for _, pid := range started {
		if arguments, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && strings.Contains(string(arguments), "demo-server") {
			servers++
		}
	}
	if servers != 3 {
		t.Fatalf("the demo has %d servers, want 3", servers)
	}
	send(t, r, syscall.SIGKILL)
	patience.Eventually(t, "what it has started has ended", func() bool {
		return !slices.ContainsFunc(started, func(pid string) bool {
			state, _ := processState(pid)
			return state != "" && state != "Z"
		})
	})
}

// children lists the processes that a process has started.
func children(t *testing.T, parent int) (pids []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if _, of := processState(entry.Name()); of == strconv.Itoa(parent) {
			pids = append(pids, entry.Name())
		}
	}
	return pids
}

// processState returns the state of a process, Z if it only waits for its
// parent to take note of its end, and the ID of its parent; nothing if there is
// no such process.
func processState(pid string) (state, parent string) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return "", ""
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fields[0], fields[1]
}

func TestDemoThatLosesACallIsBroken(t *testing.T) {
	t.Parallel()
	for _, result := range []*demoResult{
		{tallySums: tallySums{begun: 2, lost: 1}, took: []time.Duration{time.Millisecond}},
		{tallySums: tallySums{begun: 2, mismatched: 1}, took: []time.Duration{time.Millisecond}},
	} {
		var stdout strings.Builder
		err := printDemo(&output{stdout: screenOf(&stdout)}, result)
		if code := report(screenOf(io.Discard), screenOf(io.Discard), false, err); code != exitBroken || !strings.Contains(stdout.String(), "BROKEN") {
			t.Errorf("exit code %d, %s", code, stdout.String())
		}
	}
}

func TestTallyTellsTheEndsOfCallsApart(t *testing.T) {
	t.Parallel()
	var c tally
	for range 5 {
		c.begin()
	}
	c.lose()
	c.end(3, newReply("9"), nil, time.Second)
	c.end(3, newReply("16"), nil, time.Second)
	c.end(3, nil, exit(1, "no *warren.Error"), time.Second)
	c.end(3, nil, newError(), time.Second)
	sums, took, answered := c.look(10)
	if sums.begun != 5 || sums.lost != 2 || sums.mismatched != 1 || answered != 1 || len(took) != 1 {
		t.Errorf("the sums are %+v, %d answered", sums, answered)
	}
	if !maps.Equal(sums.errors, map[string]int{"unavailable": 1}) {
		t.Errorf("the errors are %v", sums.errors)
	}
}

func TestKillsSpreadEvenlyOverThePoints(t *testing.T) {
	t.Parallel()
	counts := map[crashpoint.Point]int{}
	for _, p := range killPoints(12, 7, plainPoints) {
		counts[p]++
	}
	if len(counts) != 5 || slices.Max(slices.Collect(maps.Values(counts))) != 3 {
		t.Errorf("12 kills are %v", counts)
	}
	if !slices.Equal(killPoints(12, 7, plainPoints), killPoints(12, 7, plainPoints)) || slices.Equal(killPoints(12, 7, plainPoints), killPoints(12, 8, plainPoints)) {
		t.Error("the seed does not decide the order")
	}
	if killPoints(0, 7, plainPoints) != nil {
		t.Error("no kills have points")
	}
}

func TestQuantilesAreOfTheNearestRank(t *testing.T) {
	t.Parallel()
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.95: 95, 0.99: 99, 1: 100} {
		if got := quantile(hundred, q); got != want {
			t.Errorf("quantile %v is %d, want %d", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 || quantile(hundred[:1], 0.99) != 1 {
		t.Error("none or one")
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 12345: "12,345", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
	for d, want := range map[time.Duration]string{
		1234 * time.Microsecond: "1.2 ms", 123456 * time.Microsecond: "123 ms", 1234 * time.Millisecond: "1.2 s",
	} {
		if got := short(d); got != want {
			t.Errorf("%v is %q", d, got)
		}
	}
}

func newReply(body string) *warren.Reply { return &warren.Reply{Body: []byte(body)} }

func newError() *warren.Error { return &warren.Error{Code: warren.CodeUnavailable} }
