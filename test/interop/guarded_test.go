package interop

import (
	"slices"
	"testing"
)

// guardedText is what the careful clients print, whatever their library and
// their broker.
const guardedText = `heartbeats: every 1 s
request queue: 0 messages, 1 consumer
exclusive queue: first second
exclusive queue: d6c339448d72b896d1e139f4d6efd3a6c341fcfa2cd3d372d340f8b2e365d97b
direct reply-to: first second
direct reply-to: d6c339448d72b896d1e139f4d6efd3a6c341fcfa2cd3d372d340f8b2e365d97b
no such queue: returned with 312 NO_ROUTE, then confirmed
no such queue, not mandatory: confirmed
full queue: first confirmed
full queue: second refused
queue deleted: watcher is cancelled
dead letter: {"count":1,"exchange":"","original-expiration":"50","queue":"brief","reason":"expired","routing-keys":["brief"]} expired stays
dead letter: {"count":1,"exchange":"","queue":"brief","reason":"expired","routing-keys":["brief"]} expired stays
headers: {"at":"second 1700000000","bytes":"hex 00ff","half":0.5,"large":1099511627776,"list":[1,"two",[3]],` +
	`"nothing":null,"small":-5,"table":{"deep":{"deeper":true}},"text":"grüße","yes":true}
properties: text/plain 2 3 7 kind app 1700000000 0 bytes
after a rest: 0 messages
connection: closed
`

// Calls with confirms and the mandatory flag, from libraries that are not ours.
func TestCarefulPeersMeetTheSameOnBothBrokers(t *testing.T) {
	t.Parallel()
	clients := map[string]func(t *testing.T, url, queue string) string{
		"pika": func(t *testing.T, url, queue string) string {
			t.Helper()
			return printed(t, pika, "guarded", url, queue)
		},
		"amqplib": func(t *testing.T, url, queue string) string {
			t.Helper()
			return printed(t, amqplib, "guarded", url, queue)
		},
		"amqp091-go": guardedByGo,
	}
	withEachPlainServer(t, func(t *testing.T, url string, kind plainServerKind) {
		peer := kind.start(t, url, serverOptions{queue: "echo", mode: "echo", confirm: true})
		if got := clients[kind.name](t, url, "echo"); got != guardedText {
			t.Errorf("the client printed\n%s\nwant\n%s", got, guardedText)
		}
		peer.await(t, "acked", 6)
		log, _ := peer.events.read()
		// RabbitMQ delivers what goes to a direct reply-to address, and returns it.
		want := append(slices.Repeat([]string{"request", "replied", "acked"}, 3),
			slices.Repeat([]string{"request", "returned", "replied", "acked"}, 3)...)
		var got []string
		for _, e := range allEvents(t, log)[1:] {
			got = append(got, e.Event)
		}
		if !slices.Equal(got, want) {
			t.Errorf("the server reported %q after ready, want %q", got, want)
		}
	})
}

// printed runs a program to its end and returns what it printed.
func printed(t *testing.T, l *library, program string, args ...string) string {
	t.Helper()
	p := l.start(t, program, args...)
	out, err := p.wait(t)
	if err != nil {
		t.Errorf("%s ended: %v", p.name, err)
	}
	if complaint := p.stderr.bytes(); len(complaint) > 0 {
		t.Errorf("%s complains: %s", p.name, complaint)
	}
	return string(out)
}
