package conformance

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// canBeRefused is a client's table that asks for an answer to a wrong password.
var canBeRefused = []byte("\x0ccapabilitiesF\x00\x00\x00\x1f\x1cauthentication_failure_closet\x01")

var connectionChecks = []check{
	{"user may log in by AMQPLAIN", func(t *testing.T, target Target) {
		url := target.VHost(t)
		uri, err := amqp.ParseURI(url)
		if err != nil {
			t.Fatal(err)
		}
		s := dialConfig(t, url, amqp.Config{SASL: []amqp.Authentication{uri.AMQPlainAuth()}})
		s.queue("q", nil)
	}},
	{"wrong password is answered if the client says it understands", func(t *testing.T, target Target) {
		w := connectWire(t, target.VHost(t))
		w.greet()
		w.login("PLAIN", "\x00guest\x00wrong", canBeRefused)
		w.refused(0, 403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "+
			"For details see the broker logfile.", method{})
	}},
	{"greeting names the capabilities", func(t *testing.T, target Target) {
		s := begin(t, target)
		capabilities, _ := s.conn.Properties["capabilities"].(amqp.Table)
		for _, name := range []string{
			"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
			"consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
		} {
			if capabilities[name] != true {
				t.Errorf("capability %s: %v", name, capabilities[name])
			}
		}
		for _, name := range []string{"product", "version", "platform", "copyright", "information", "cluster_name"} {
			if text, _ := s.conn.Properties[name].(string); text == "" {
				t.Errorf("property %s: %v", name, s.conn.Properties[name])
			}
		}
		same(t, "locales", s.conn.Locales, []string{"en_US"})
	}},
	{"greeting offers PLAIN and AMQPLAIN", func(t *testing.T, target Target) {
		in := connectWire(t, target.VHost(t)).greet()
		same(t, "version", [2]byte{in.u8(), in.u8()}, [2]byte{0, 9})
		in.long() // the server's properties
		mechanisms := strings.Fields(in.long())
		slices.Sort(mechanisms)
		same(t, "mechanisms", mechanisms, []string{"AMQPLAIN", "PLAIN"})
	}},
	{"broker offers 2047 channels, frames of 128 KiB and a heartbeat of a minute", func(t *testing.T, target Target) {
		w := connectWire(t, target.VHost(t))
		w.greet()
		w.login("PLAIN", w.plain(), nil)
		in := w.expect(0, connectionTune)
		same(t, "offer", []any{in.u16(), in.u32(), in.u16()}, []any{uint16(2047), uint32(131072), uint16(60)})
	}},
	{"another protocol is answered by the broker's header, and the end", func(t *testing.T, target Target) {
		url := target.VHost(t)
		for _, header := range []string{"AMQP\x00\x01\x00\x00", "AMQP\x00\x00\x09\x02", "GET / HTTP/1.1\r\n\r\n", "AMQP\x01\x01\x00\x0a"} {
			w := connectWire(t, url)
			w.raw([]byte(header))
			answer := make([]byte, 8)
			if _, err := io.ReadFull(w.in, answer); err != nil {
				t.Fatalf("%q: %v", header, err)
			}
			same(t, header, string(answer), "AMQP\x00\x00\x09\x01")
			w.ends()
		}
	}},
	{"what else fails in the handshake ends the connection without a word", func(t *testing.T, target Target) {
		url := target.VHost(t)
		tune := func(channels uint16, size uint32) func(*wire) {
			return func(w *wire) {
				w.login("PLAIN", w.plain(), canBeRefused)
				w.tune(channels, size, 0)
			}
		}
		wires := map[string]*wire{}
		for name, act := range map[string]func(*wire){
			"wrong password, no capability":  func(w *wire) { w.login("PLAIN", "\x00guest\x00wrong", nil) },
			"unknown mechanism":              func(w *wire) { w.login("NONE", "", canBeRefused) },
			"malformed response":             func(w *wire) { w.login("PLAIN", "guest", canBeRefused) },
			"channel.open before the log-in": func(w *wire) { w.call(1, channelOpen, "") },
			"frame_max above the broker's":   tune(10, 131073),
			"frame_max without limit":        tune(10, 0),
			"frame_max under 4096":           tune(10, 4095),
			"channel_max above the broker's": tune(2048, 8192),
			"channel_max without limit":      tune(0, 8192),
			"connection.open before tune-ok": func(w *wire) { w.login("PLAIN", w.plain(), canBeRefused); w.expect(0, connectionTune); w.open("/") },
		} {
			w := connectWire(t, url)
			w.greet()
			act(w)
			wires[name] = w
		}
		// The broker takes its time over each: three seconds, against guessers.
		for name, w := range wires {
			t.Log(name)
			w.ends()
		}
	}},
	{"unknown virtual host is refused", func(t *testing.T, target Target) {
		w := connectWire(t, target.VHost(t))
		w.greet()
		w.login("PLAIN", w.plain(), nil)
		w.tune(10, 8192, 0)
		w.open("nowhere")
		w.refused(0, 530, "NOT_ALLOWED - vhost nowhere not found", connectionOpen)
	}},
	{"virtual host without a permission is refused", func(t *testing.T, target Target) {
		mine, other := target.VHost(t), target.VHost(t)
		user := "visitor-" + vhostOf(t, mine)
		w := connectWire(t, target.AddUser(t, mine, user, ".*", ".*", ".*"))
		w.greet()
		w.login("PLAIN", w.plain(), nil)
		w.tune(10, 8192, 0)
		w.open(vhostOf(t, other))
		w.refused(0, 530, "NOT_ALLOWED - access to vhost '"+vhostOf(t, other)+"' refused for user '"+user+"'", connectionOpen)
	}},
	{"channels are limited by their count, not by their numbers", func(t *testing.T, target Target) {
		url := target.VHost(t)
		w := connectWire(t, url)
		w.greet()
		w.login("PLAIN", w.plain(), nil)
		w.tune(2, 8192, 0)
		w.open(vhostOf(t, url))
		w.expect(0, connectionOpenOk)
		w.openChannel(700)
		w.openChannel(1)
		w.call(2, channelOpen, "")
		w.refused(0, 530, "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)", method{})
	}},
	{"broker sends heartbeats, and cuts a client that sends none", func(t *testing.T, target Target) {
		url := target.VHost(t)
		w := connectWire(t, url)
		w.greet()
		w.login("PLAIN", w.plain(), nil)
		w.tune(10, 8192, 1)
		w.open(vhostOf(t, url))
		w.expect(0, connectionOpenOk)
		began, beats := time.Now(), 0
		for f, open := w.any(); open; f, open = w.any() {
			if f.kind != heartbeatFrame || f.channel != 0 || len(f.payload) != 0 {
				t.Fatalf("%+v; want a heartbeat", f)
			}
			beats++
		}
		if took := time.Since(began); beats < 2 || took < 1500*time.Millisecond {
			t.Errorf("%d heartbeats in %v, then the end; want one each half second, for about three", beats, took)
		}
	}},
	{"close by the client is answered, and left to the client to complete", func(t *testing.T, target Target) {
		w := dialWire(t, target.VHost(t))
		w.openChannel(1)
		w.call(0, connectionClose, uint16(200), "bye", uint16(0), uint16(0))
		w.expect(0, connectionCloseOk)
		_ = w.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := w.in.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after close-ok: %v; want an open socket and nothing on it", err)
		}
	}},
	{"broker keeps to the frame size that the client asked for", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.publish("", "q", strings.Repeat("x", 20000))
		w := dialWire(t, s.url)
		w.openChannel(1)
		w.call(1, basicGet, uint16(0), "q", uint8(1))
		w.expect(1, basicGetOk)
		header, _ := w.next()
		same(t, "header", header.kind, headerFrame)
		for _, size := range []int{8184, 8184, 20000 - 2*8184} {
			body, _ := w.next()
			same(t, "body", []int{int(body.kind), len(body.payload)}, []int{bodyFrame, size})
		}
	}},
}
