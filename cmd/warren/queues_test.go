package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// enqueue declares a queue and puts so many messages into it.
func enqueue(t *testing.T, url, name string, messages int) {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	for range messages {
		taken, err := ch.PublishWithDeferredConfirm("", name, true, false, amqp.Publishing{Body: []byte("x")})
		if err != nil || !taken.Wait() {
			t.Fatalf("publish to %s: %v", name, err)
		}
	}
}

// keepPublishing sends requests that want no answer, until the function that it
// returns is called.
func keepPublishing(t *testing.T, url, name string) (stop func()) {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ch.Publish("", name, false, false, amqp.Publishing{Body: []byte("1")}) == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}()
	stop = func() {
		_ = conn.Close()
		<-ended
	}
	t.Cleanup(stop)
	return stop
}

// rows returns the rows of a look by their names.
func rows(t *testing.T, list map[string]any) map[string]map[string]any {
	t.Helper()
	found := map[string]map[string]any{}
	for _, row := range as[[]any](t, list["queues"]) {
		row := as[map[string]any](t, row)
		found[as[string](t, row["name"])] = row
	}
	return found
}

func TestQueuesTellsOfNamedMethodsOverAMQP(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"RabbitMQ": rabbit.VHost(t), "memory": amqptest.New(t, amqptest.Options{}).URL()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			serveSamples(t, url, "--method", "rpc_queue")
			enqueue(t, url, "orders.place", 3)
			enqueue(t, url, "orders.place.dead", 2)
			enqueue(t, url, "orders.gone.dead", 1)
			r := invoke(t, url, "queues", "--json", "orders.place", "rpc_queue", "orders.gone", "nosuch").want(t, exitNoServer)
			list := wantKeys(t, r.object(t), "source", "vhost", "hidden", "queues")
			if list["source"] != "amqp" || list["hidden"] != 0.0 || !strings.HasSuffix(url, as[string](t, list["vhost"])) {
				t.Errorf("the list is %v", list)
			}
			found := rows(t, list)
			for name, want := range map[string]map[string]any{
				"orders.place": {"exists": true, "ready": 3.0, "consumers": 0.0, "dead": 2.0},
				"rpc_queue":    {"exists": true, "ready": 0.0, "consumers": 1.0, "dead": nil},
				"orders.gone":  {"exists": false, "ready": 0.0, "consumers": 0.0, "dead": 1.0},
				"nosuch":       {"exists": false, "ready": 0.0, "consumers": 0.0, "dead": nil},
			} {
				if want["name"] = name; !maps.Equal(found[name], want) {
					t.Errorf("%s: %v, want %v", name, found[name], want)
				}
			}
			out := invoke(t, url, "queues", "rpc_queue", "orders.place").want(t, 0).stdout.String()
			if want := "METHOD        READY  SERVERS  DEAD\nrpc_queue     0      1        -\norders.place  3      0        2\n"; out != want {
				t.Errorf("it prints\n%s", out)
			}
			out = invoke(t, url, "queues", "nosuch", "orders.gone").want(t, exitNoServer).stdout.String()
			if !strings.Contains(out, "nosuch       no queue\n") || !strings.Contains(out, "orders.gone  no queue; parked: 1\n") {
				t.Errorf("it prints\n%s", out)
			}
			if again := invoke(t, url, "queues", "--json", "nosuch").want(t, exitNoServer).object(t); rows(t, again)["nosuch"]["exists"] != false {
				t.Errorf("a look has made the queue: %v", again)
			}
		})
	}
}

func TestQueuesTakesMethodsFromFilesAndSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	url := amqptest.New(t, amqptest.Options{}).URL()
	policies, routes := filepath.Join(t.TempDir(), "policy.yaml"), filepath.Join(t.TempDir(), "gateway.yaml")
	for path, text := range map[string]string{
		policies: "methods:\n  \"*\": {timeout: 5s}\n  orders.get*: {timeout: 1s}\n  users.b: {timeout: 1s}\n  users.a: {timeout: 1s}\n",
		routes:   "routes:\n  GET /a: {method: users.a}\n  GET /c: {method: users.c}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	list := invoke(t, url, "queues", "--json", "--policies", policies, "--routes", routes).want(t, 0).object(t)
	for _, row := range as[[]any](t, list["queues"]) {
		names = append(names, as[string](t, as[map[string]any](t, row)["name"]))
	}
	if want := []string{"users.a", "users.b", "users.c"}; !slices.Equal(names, want) {
		t.Errorf("the methods are %q, want %q", names, want)
	}
	for _, line := range [][]string{
		{}, {"--all"}, {"a b"}, {"--watch", "1ms", "x"}, {"--timeout", "0s", "x"}, {"--policies", routes},
		{"--routes", policies}, {"--management", "localhost", "x"}, {"--management", "ftp://user:s3cr3t@localhost/", "x"},
		{"--management", "http://localhost/", "--all", "x"},
	} {
		r := invoke(t, url, append([]string{"queues"}, line...)...).want(t, exitUsage)
		if text := r.wantLine(t); strings.Contains(text, "s3cr3t") {
			t.Errorf("%q: %s", line, text)
		}
	}
	// What amqps hides is not told to the network.
	for api, code := range map[string]int{
		"http://192.0.2.1/": exitUsage, "http://localhost:1/": exitBroker, "http://[::1]:1/": exitBroker, "http://u:p@127.0.0.1:1/": exitBroker, "https://127.0.0.1:1/": exitBroker,
	} {
		r := invoke(t, "amqps://user:s3cr3t@192.0.2.1/", "queues", "--management", api, "x").want(t, code)
		if text := r.wantLine(t); strings.Contains(text, "s3cr3t") || (code == exitUsage) != strings.Contains(text, "over http;") {
			t.Errorf("%s: %s", api, text)
		}
	}
	if text := invoke(t, url, "queues").wantLine(t); !strings.Contains(text, "AMQP cannot list queues") || !strings.Contains(text, "--management") {
		t.Errorf("without methods it says %s", text)
	}
}

func TestQueuesWatchesUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	enqueue(t, b.URL(), "orders.place", 1)
	r := command(b.URL(), "queues", "--json", "--watch", "100ms", "orders.place").start(t)
	patience.Eventually(t, "it has looked twice", func() bool { return strings.Count(r.stdout.String(), "\n") >= 2 })
	enqueue(t, b.URL(), "orders.place", 1)
	patience.Eventually(t, "it sees the second message", func() bool { return strings.Contains(r.stdout.String(), `"ready":2`) })
	b.CloseConnections("for the test")
	seen := strings.Count(r.stdout.String(), "\n")
	patience.Eventually(t, "it looks again after its connection was lost", func() bool { return strings.Count(r.stdout.String(), "\n") > seen+1 })
	send(t, r, syscall.SIGINT)
	r.wait(t).want(t, 0)
	for line := range strings.Lines(r.stdout.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %q", line)
		}
	}
	// The first look ends it.
	invoke(t, "amqp://guest:guest@127.0.0.1:1/", "queues", "--watch", "1s", "x").want(t, exitBroker).wantLine(t)
}

func TestQueuesListsAVirtualHostByTheManagementAPI(t *testing.T) {
	t.Parallel()
	node := rabbit.New(t, rabbit.Options{Plugins: []string{rabbit.ManagementPlugin}})
	url, err := node.AddVHost(t.Context(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	serveSamples(t, url, "--method", "rpc_queue", "--method", "users.email", "--queue-type", "quorum")
	enqueue(t, url, "orders.place", 3)
	enqueue(t, url, "orders.place.dead", 2)
	enqueue(t, url, "orders.gone.dead", 1)
	enqueue(t, url, "with a blank", 0)
	look := func(args ...string) map[string]any {
		return invoke(t, url, append([]string{"queues", "--json", "--management", node.ManagementURL()}, args...)...).want(t, 0).object(t)
	}
	stop := keepPublishing(t, url, "users.email")
	// Figures come to the API every five seconds.
	var list map[string]any
	patience.Eventually(t, "the API has all figures", func() bool {
		list = look()
		found := rows(t, list)
		return found["orders.place"]["ready"] == 3.0 && found["orders.place"]["dead"] == 2.0 &&
			found["rpc_queue"]["consumers"] == 1.0 && found["orders.gone"]["dead"] == 1.0 &&
			as[float64](t, found["users.email"]["in_per_second"]) > 0 && as[float64](t, found["users.email"]["out_per_second"]) > 0
	})
	stop()
	found := rows(t, list)
	if names := slices.Sorted(maps.Keys(found)); !slices.Equal(names, []string{"orders.gone", "orders.place", "rpc_queue", "users.email"}) {
		t.Errorf("the methods are %q", names)
	}
	if list["source"] != "management" || list["vhost"] != "a/b" || as[float64](t, list["hidden"]) < 1 {
		t.Errorf("the list is %v", list)
	}
	row := found["rpc_queue"]
	if row["type"] != "quorum" || row["state"] != "running" || !strings.HasPrefix(as[string](t, row["leader"]), "warren-") || as[float64](t, row["memory_bytes"]) <= 0 {
		t.Errorf("rpc_queue: %v", row)
	}
	wantKeys(t, row, "name", "exists", "ready", "consumers", "dead", "unacked", "in_per_second", "out_per_second", "type", "state", "leader", "memory_bytes")
	all := rows(t, look("--all"))
	if all["with a blank"] == nil || len(all) <= len(found)+1 && as[float64](t, list["hidden"]) > 1 {
		t.Errorf("with --all: %v", slices.Sorted(maps.Keys(all)))
	}
	r := invoke(t, url, "queues", "--management", node.ManagementURL(), "rpc_queue", "nosuch").want(t, exitNoServer)
	if out := r.stdout.String(); !strings.Contains(out, "UNACKED") || !strings.Contains(out, "quorum") || !strings.Contains(out, "nosuch     no queue\n") {
		t.Errorf("it prints\n%s", out)
	}
	invoke(t, url, "queues", "--management", strings.Replace(node.ManagementURL(), "guest:guest", "guest:s3cr3t", 1)).want(t, exitBroker)
	if text := invoke(t, url+"x", "queues", "--management", node.ManagementURL()).want(t, exitBroker).wantLine(t); !strings.Contains(text, `virtual host "a/bx"`) {
		t.Errorf("of a virtual host that is not there it says %s", text)
	}
	text := invoke(t, url, "queues", "--management", "http://user:s3cr3t@127.0.0.1:1/").want(t, exitBroker).wantLine(t)
	if strings.Contains(text, "s3cr3t") || !strings.Contains(text, "127.0.0.1:1") {
		t.Errorf("of an API that is not there it says %s", text)
	}
}
