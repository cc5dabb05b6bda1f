package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// userOf adds a user who may do all of that in the virtual host of url, and returns
// its name and its own URL.
func userOf(t *testing.T, url, name, configure, write, read string) (user, own string) {
	t.Helper()
	u, err := amqp.ParseURI(url)
	if err != nil {
		t.Fatal(err)
	}
	node := rabbit.Shared(t)
	user = name + "-" + u.Vhost
	if err := node.AddUser(t.Context(), user, "pass", u.Vhost, configure, write, read); err != nil {
		t.Fatal(err)
	}
	return user, node.URLAs(user, "pass", u.Vhost)
}

// openFile opens a store that has begun the call as often as it may be.
func openFile(t *testing.T, path string, scope store.Scope, park int) *boltstore.Store {
	t.Helper()
	for range park {
		st, err := boltstore.Open(path, boltstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, won, err := st.Claim(t.Context(), store.Claim{Key: scope.Key(), Lease: time.Second, Retention: time.Hour})
		if err != nil || !won {
			t.Fatal(won, err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	st, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// A method that knows calls by who makes them: the replay runs for the caller of the
// parked call, though an operator sends it who may do nothing else.
func TestDeadReplayRunsForTheCallerOfTheParkedCall(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	alice, aliceURL := userOf(t, url, "alice", ".*", ".*", ".*")
	_, operatorURL := userOf(t, url, "operator", "^$", `^amq\.default$`, `^orders\..*\.dead$`)
	st := openFile(t, filepath.Join(t.TempDir(), "calls.db"), store.Scope{Method: deadMethod, CallID: "k", Caller: alice}, 2)
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{url}}, Store: st})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan string, 10)
	m := server.Method{Name: deadMethod, Dedupe: server.Dedupe{ByCaller: true, Park: 2}}
	if err := s.HandleRaw(m, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
		ran <- req.UserID + " " + string(req.Body)
		return &warren.Reply{}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	c, err := client.New(client.Config{Broker: warren.Broker{URLs: []string{aliceURL}}, UserID: alice})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_, err = c.Call(t.Context(), deadMethod, []byte("order"), client.WithCallID("k"))
	if e, ok := errors.AsType[*warren.Error](err); !ok || e.Reason != warren.ReasonPoisoned {
		t.Fatalf("the call ended with %v", err)
	}
	object := invoke(t, operatorURL, "dead", "show", "--json", deadMethod, "k").want(t, 0).object(t)
	if object["user_id"] != alice {
		t.Errorf("it is shown as %v", object)
	}

	// Anybody may write to the dead queue, and take the word of an incident for it.
	forger := &deadSite{url: aliceURL, ch: channelTo(t, aliceURL)}
	forged := amqp.Publishing{
		CorrelationId: "k", ReplyTo: "nobody", Type: (&wire.Meta{Kind: wire.KindCall, Attempt: 1}).Encode(), Body: []byte("order"),
		UserId: alice, Headers: amqp.Table{wire.DeadIncident: "made up", wire.DeadUser: alice},
	}
	forger.park(t, &forged)
	if out := invoke(t, operatorURL, "dead", "replay", "--all", deadMethod).want(t, 0).stdout.String(); !strings.HasPrefix(out, "replayed 2 calls") {
		t.Errorf("replay says %q", out)
	}
	if got := <-ran; got != alice+" order" {
		t.Errorf("it ran for %q", got)
	}
	patience.Eventually(t, "what was refused is parked again, and says why", func() bool {
		r := command(operatorURL, "dead", "list", deadMethod).start(t).wait(t)
		return r.code == 0 && strings.Contains(r.stdout.String(), "the replay was refused: unauthenticated/missing_identifier")
	})
	if len(ran) > 0 {
		t.Errorf("it ran again, for %q", <-ran)
	}
}

// What somebody else has written into the dead queue neither ends a replay of all nor
// gives away what the broker would not take from us.
func TestDeadReplayGoesOnPastForeignMessages(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	mallory, malloryURL := userOf(t, url, "mallory", ".*", ".*", ".*")
	foreign := []amqp.Publishing{parkedMessage("user"), parkedMessage("reply"), parkedMessage("deep"), parkedMessage("many"), parkedMessage("later"), parkedMessage("unreadable")}
	foreign[0].UserId = mallory
	foreign[1].Type = "warren/1;k=reply;n=1"
	foreign[2].Headers["deep"] = amqp.Table{"a": amqp.Table{"b": amqp.Table{"c": amqp.Table{"d": "e"}}}}
	for i := range 100 {
		foreign[3].Headers["h"+strings.Repeat("x", i)] = "v"
	}
	foreign[4].Type = "warren/1;k=dance;n=1"
	nested := any("x")
	for range 45 { // more than the library reads
		nested = []any{nested}
	}
	foreign[5].Headers["nested"] = nested
	parkCalls(t, malloryURL, foreign...)
	s := parkCalls(t, url, numbered(2)...)
	r := invoke(t, url, "dead", "replay", "--all", "--json", deadMethod).want(t, exitInternal)
	if object := r.object(t); object["replayed"] != 3.0 || object["skipped"] != 5.0 || object["left"] != 5.0 {
		t.Errorf("replay says %v", object)
	}
	sent := s.drain(t, deadMethod)
	if callIDs(sent) != "user call-1 call-2" || sent[0].UserId != "" {
		t.Errorf("sent were %v", sent)
	}
	object := invoke(t, url, "dead", "list", "--json", deadMethod).want(t, 0).object(t)
	if object["total"] != 5.0 {
		t.Errorf("parked are %v", object)
	}
}

// One call that the broker does not take stays parked, and the others are sent.
func TestDeadReplayGoesOnPastWhatTheBrokerRefuses(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	s := parkCalls(t, b.URL(), numbered(4)...)
	rule, err := amqptest.ParseRule("basic.publish key=orders.place nth=2: close-channel 406 large")
	if err != nil {
		t.Fatal(err)
	}
	rule.When.ConnName = "warren dead replay"
	b.Inject(rule)
	r := invoke(t, b.URL(), "dead", "replay", "--all", "--json", deadMethod).want(t, exitInternal)
	if object := r.object(t); object["replayed"] != 3.0 || object["skipped"] != 1.0 || object["left"] != 1.0 {
		t.Errorf("replay says %v", object)
	}
	if told := r.stderr.String(); !strings.Contains(told, `"call-2" stays parked: the broker refuses it: PRECONDITION_FAILED - large`) {
		t.Errorf("standard error: %q", told)
	}
	s.wantIDs(t, "call-2", "call-1 call-3 call-4")
}
