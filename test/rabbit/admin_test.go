package rabbit

import (
	"errors"
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

func TestVHostIsOfTheTestsOwn(t *testing.T) {
	t.Parallel()
	var gone string
	t.Run("one", func(t *testing.T) {
		gone = VHost(t)
		other := VHost(t)
		_, ch := dial(t, gone)
		declare(t, ch, "q", "quorum")
		publish(t, ch, "q", "x")
		_, ch = dial(t, other)
		if _, err := ch.QueueDeclarePassive("q", false, false, false, false, nil); err == nil {
			t.Error("a queue of one virtual host is seen from another")
		}
	})
	if conn, err := amqp.Dial(gone); err == nil {
		_ = conn.Close()
		t.Error("the virtual host outlived its test")
	}
}

func TestManyVHostsAtOnce(t *testing.T) {
	t.Parallel()
	for i := range 20 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			_, ch := dial(t, VHost(t))
			declare(t, ch, "q", "classic")
			publish(t, ch, "q", "x")
		})
	}
}

func TestVHostErrors(t *testing.T) {
	t.Parallel()
	n := Shared(t)
	const odd = "a/b %>>.\"ü\n"
	url, err := n.AddVHost(t.Context(), odd)
	if err != nil {
		t.Fatal(err)
	}
	dial(t, url)
	if _, err := n.AddVHost(t.Context(), odd); err == nil {
		t.Error("added a virtual host twice")
	}
	if err := n.DeleteVHost(t.Context(), odd); err != nil {
		t.Error(err)
	}
	if err := n.DeleteVHost(t.Context(), odd); err == nil {
		t.Error("deleted a virtual host twice")
	}
}

func TestUserMayDoWhatItWasGranted(t *testing.T) {
	t.Parallel()
	n := Shared(t)
	host := vhostOf(t, VHost(t))
	user, password := "us:er@"+host, "p/ss w%rd" // users are the node's, not the virtual host's
	if err := n.AddUser(t.Context(), user, password, host, "^mine", "", ".*"); err != nil {
		t.Fatal(err)
	}
	if err := n.AddUser(t.Context(), user, password, host, "", "", ""); err == nil {
		t.Error("added a user twice")
	}
	conn, ch := dial(t, n.URLAs(user, password, host))
	declare(t, ch, "mine", "classic")
	var refused *amqp.Error
	if _, err := ch.QueueDeclare("theirs", true, false, false, false, nil); !errors.As(err, &refused) || refused.Code != amqp.AccessRefused {
		t.Errorf("declare beyond the grant: %v", err)
	}
	_ = conn.Close()
	if _, err := amqp.Dial(n.URLAs(user, "wrong", host)); err == nil {
		t.Error("a wrong password was let in")
	}
}

func TestPolicyTakesEffect(t *testing.T) {
	t.Parallel()
	n, url := Shared(t), VHost(t)
	policy := Policy{VHost: vhostOf(t, url), Name: "short", Pattern: "^q$", ApplyTo: "queues", Definition: map[string]any{"max-length": 1}}
	if err := n.SetPolicy(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	_, ch := dial(t, url)
	declare(t, ch, "q", "classic")
	publish(t, ch, "q", "1")
	publish(t, ch, "q", "2")
	message, _, err := ch.Get("q", true)
	if err != nil || string(message.Body) != "2" {
		t.Errorf("the queue's head is %q, %v; want the newer message alone", message.Body, err)
	}
	policy.Definition = map[string]any{"no-such-property": 1}
	if err := n.SetPolicy(t.Context(), policy); err == nil {
		t.Error("a policy of nonsense was accepted")
	}
}

func TestQueuesTellWhatTheyHold(t *testing.T) {
	t.Parallel()
	n, url := Shared(t), VHost(t)
	host := vhostOf(t, url)
	_, ch := dial(t, url)
	for _, kind := range []string{"classic", "quorum"} {
		declare(t, ch, kind, kind)
		publish(t, ch, kind, "1")
		publish(t, ch, kind, "2")
		if err := ch.Qos(1, 0, false); err != nil {
			t.Fatal(err)
		}
		deliveries, err := ch.Consume(kind, "", false, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		<-deliveries
	}
	if _, err := ch.QueueDeclare("brief", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	want := map[string]Queue{
		"classic": {Name: "classic", Type: "classic", Durable: true, Messages: 2, Ready: 1, Unacked: 1, Consumers: 1},
		"quorum":  {Name: "quorum", Type: "quorum", Durable: true, Messages: 2, Ready: 1, Unacked: 1, Consumers: 1},
		"brief":   {Name: "brief", Type: "classic"},
	}
	var got []Queue
	patience.Eventually(t, "as published", func() bool {
		var err error
		if got, err = n.Queues(t.Context(), host); err != nil {
			t.Fatal(err)
		}
		for _, q := range got {
			if want[q.Name] != q {
				return false
			}
		}
		return len(got) == len(want)
	})
	for name := range want {
		if err := n.DeleteQueue(t.Context(), host, name); err != nil {
			t.Error(err)
		}
	}
	if got, err := n.Queues(t.Context(), host); len(got) > 0 || err != nil {
		t.Errorf("after deleting all: %+v, %v", got, err)
	}
	if err := n.DeleteQueue(t.Context(), host, "classic"); err == nil {
		t.Error("deleted a queue twice")
	}
}

func BenchmarkControl(b *testing.B) {
	n := Shared(b)
	for name, call := range map[string]func() error{
		"Connections": func() error { _, err := n.Connections(b.Context()); return err },
		"Queues":      func() error { _, err := n.Queues(b.Context(), "/"); return err },
		"VHost": func() error {
			if _, err := n.AddVHost(b.Context(), "bench"); err != nil {
				return err
			}
			return n.DeleteVHost(b.Context(), "bench")
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
