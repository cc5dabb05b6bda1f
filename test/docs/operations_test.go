package docs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/reliability/policyfile"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

const operationsDoc = "docs/operations.md"

// rabbitmqctl returns the arguments of the document's commands of that name.
func rabbitmqctl(t *testing.T, name string) (found [][]string) {
	t.Helper()
	for _, c := range commands(t, operationsDoc) {
		if c.words[0] != "rabbitmqctl" || c.words[1] != name {
			continue
		}
		if len(c.words) < 7 || c.words[2] != "-p" {
			t.Fatalf("%v: not as this test knows it", c)
		}
		found = append(found, c.words[4:])
	}
	return found
}

// The document's permissions are what its users can live with.
func TestPermissionsOfOperationsSuffice(t *testing.T) {
	t.Parallel()
	admin, node, ctx := rabbit.VHost(t), rabbit.Shared(t), withPatience(t)
	vhost, urls := vhostOf(t, admin), map[string]string{}
	for _, p := range rabbitmqctl(t, "set_permissions") {
		user := p[0] + "-of-" + vhost // users are the node's, not the virtual host's
		if err := node.AddUser(ctx, user, "secret", vhost, p[1], p[2], p[3]); err != nil {
			t.Fatal(err)
		}
		urls[p[0]] = node.URLAs(user, "secret", vhost)
	}
	if got, want := slices.Sorted(maps.Keys(urls)), tableNames(t, operationsDoc, "user"); !slices.Equal(got, want) {
		t.Fatalf("the commands are for %q, the table for %q", got, want)
	}

	serveEcho(t, urls["server"], "orders.echo")
	calls, err := boltstore.Open(filepath.Join(t.TempDir(), "calls.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = calls.Close() })
	serve(t, server.Config{Broker: brokerAt(urls["store-server"]), Store: calls}, "orders.kept", echo)
	_, ch := rabbit.Channel(t, admin)
	if _, err := ch.QueueDeclare("orders.there", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	serveMethod(t, server.Config{Broker: brokerAt(urls["existing-server"])}, server.Method{
		Name: "orders.there", Queue: server.Queue{Type: server.Existing},
	}, echo)

	c := newClient(t, client.Config{Broker: brokerAt(urls["client"])})
	for _, method := range []string{"orders.echo", "orders.kept", "orders.there"} {
		if reply, err := c.Call(ctx, method, []byte("x"), client.WithCallID("1")); err != nil || string(reply.Body) != "x" {
			t.Errorf("call %s: %v, %v", method, reply, err)
		}
		if n, err := c.Ping(ctx, method); err != nil || n != 1 {
			t.Errorf("ping %s: %d, %v", method, n, err)
		}
		if err := c.Notify(ctx, method, nil); err != nil {
			t.Errorf("notify %s: %v", method, err)
		}
	}
	if told, err := c.Resolve(ctx, "orders.kept", "1", client.Proven(warren.ProofOf("", "", []byte("x")))); err != nil || told.State != client.Completed {
		t.Errorf("resolve: %v, %v", told, err)
	}

	_, plain := rabbit.Channel(t, urls["plain-client"])
	replies, err := plain.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = plain.PublishWithContext(ctx, "", "orders.echo", true, false, amqp.Publishing{
		ReplyTo: "amq.rabbitmq.reply-to", CorrelationId: "1", Body: []byte("y"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := receive(t, replies); string(d.Body) != "y" {
		t.Errorf("the plain client's reply is %q", d.Body)
	}

	tutorial := newPlainCaller(t, urls["tutorial-client"])
	if d := tutorial.call(amqp.Publishing{CorrelationId: "1", Body: []byte("z")}, "orders.echo"); string(d.Body) != "z" {
		t.Errorf("the tutorial's client's reply is %q", d.Body)
	}

	serveEcho(t, urls["service"], "orders.both")
	both := newClient(t, client.Config{Broker: brokerAt(urls["service"])})
	if _, err := both.Call(ctx, "orders.both", nil); err != nil {
		t.Errorf("a service calls itself: %v", err)
	}

	if err := ch.PublishWithContext(ctx, "", "orders.kept.dead", true, false, amqp.Publishing{CorrelationId: "7"}); err != nil {
		t.Fatal(err)
	}
	exe := tool(t)
	for _, args := range [][]string{
		{"call", "orders.echo", "x"}, {"ping", "orders.kept"}, {"queues", "orders.kept"}, {"resolve", "orders.kept", "1", "--body", "x"},
	} {
		if out, complaint, code := run(t, urls["client"], exe, args...); code != 0 {
			t.Errorf("the client's %q ended with %d: %s%s", args, code, out, complaint)
		}
	}
	patience.Eventually(t, "the parked call is there", func() bool {
		out, complaint, code := run(t, urls["operator"], exe, "dead", "list", "orders.kept")
		return code == 0 && strings.Contains(out+complaint, "7")
	})
	if out, complaint, code := run(t, urls["operator"], exe, "dead", "replay", "orders.kept", "7"); code != 0 {
		t.Errorf("the operator's replay ended with %d: %s%s", code, out, complaint)
	}

	file := filepath.Join(t.TempDir(), "new.db")
	fresh, err := boltstore.Open(file, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh.Close(); err != nil {
		t.Fatal(err)
	}
	if out, complaint, code := run(t, urls["store-server"], exe, "store", "adopt", file, "orders.lost"); code != 0 {
		t.Errorf("the adoption of a file ended with %d: %s%s", code, out, complaint)
	}

	// Without them the error says so at once.
	other, err := client.New(client.Config{Broker: brokerAt(urls["server"]), Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = other.Ready(ctx)
	if e, ok := warren.AsError(err); !ok || e.Reason != warren.ReasonNotPermitted || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a client with a server's permissions: %v", err)
	}
}

// What the document sets by policy, RabbitMQ takes, and the method is served.
func TestPoliciesOfOperationsAreTaken(t *testing.T) {
	t.Parallel()
	url, ctx := rabbit.VHost(t), withPatience(t)
	policies := rabbitmqctl(t, "set_policy")
	if len(policies) != 2 {
		t.Fatalf("%s has %d policies", operationsDoc, len(policies))
	}
	for _, p := range policies {
		policy := rabbit.Policy{VHost: vhostOf(t, url), Name: p[0], Pattern: p[1], ApplyTo: p[len(p)-1]}
		if err := json.Unmarshal([]byte(p[2]), &policy.Definition); err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		if err := rabbit.Shared(t).SetPolicy(ctx, policy); err != nil {
			t.Fatalf("%q: %v", p, err)
		}
	}
	serveEcho(t, url, "orders.echo")
	c := newClient(t, client.Config{Broker: brokerAt(url)})
	if _, err := c.Call(ctx, "orders.echo", nil); err != nil {
		t.Error(err)
	}
}

// The tables of counters have those that there are.
func TestCountersOfOperationsAreTheLibrarys(t *testing.T) {
	t.Parallel()
	for name, stats := range map[string]any{
		"`client.Stats`": client.Stats{}, "`server.Stats`": server.Stats{}, "`store.Stats`": store.Stats{},
	} {
		var fields []string
		for field := range reflect.TypeOf(stats).Fields() {
			fields = append(fields, field.Name)
		}
		slices.Sort(fields)
		if got := tableNames(t, operationsDoc, name); !slices.Equal(got, fields) {
			t.Errorf("%s has %q\n%s has %q", operationsDoc, got, name, fields)
		}
	}
}

// Policies that documents show are sound.
func TestPoliciesOfRecipesAreSound(t *testing.T) {
	t.Parallel()
	found := blocks(t, "docs/recipes.md", "yaml")
	if len(found) != 1 {
		t.Fatalf("docs/recipes.md has %d files of policies", len(found))
	}
	rules, findings, err := policyfile.Parse(found[0].file, []byte(found[0].text))
	if err != nil || len(findings) > 0 || len(rules.Methods) != 4 {
		t.Errorf("%s: %v, %v, %v", found[0].where(), rules, findings, err)
	}
}

// What recipes say of a method without a policy.
func TestDefaultsOfRecipesAreThePolicys(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	got := fmt.Sprintf("%v, %d attempts, breaker open for %v once %v of %d or more within %v",
		p.Timeout, p.Retry.Attempts, p.Breaker.Open, p.Breaker.Failures, p.Breaker.Volume, p.Breaker.Window)
	const want = "10s, 3 attempts, breaker open for 5s once 0.5 of 20 or more within 10s"
	if text := strings.ReplaceAll(read(t, "docs/recipes.md"), "\n", " "); got != want || !strings.Contains(text,
		"Without one a method has the defaults: 10 s, three attempts where they are safe, a retry budget, and a circuit breaker "+
			"that refuses calls for 5 s (`breaker_open`) once half of 20 or more within 10 s found no route or no answer.") {
		t.Errorf("the defaults are %s; docs/recipes.md says something else", got)
	}
}

// tableNames returns what stands between backquotes in the first cells of a table,
// which is found by the first cell of its head, sorted.
func tableNames(t *testing.T, file, head string) (names []string) {
	t.Helper()
	for _, cells := range table(t, file, head) {
		for _, found := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[0], -1) {
			names = append(names, found[1])
		}
	}
	slices.Sort(names)
	return names
}

// table returns the rows of a table.
func table(t *testing.T, file, head string) (rows [][]string) {
	t.Helper()
	_, body, ok := strings.Cut(read(t, file), "\n| "+head+" |")
	if !ok {
		t.Fatalf("%s has no table of %s", file, head)
	}
	body, _, _ = strings.Cut(body, "\n\n")
	for _, line := range strings.Split(body, "\n")[2:] {
		rows = append(rows, strings.Split(strings.Trim(line, "| "), " | "))
	}
	return rows
}
