package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/wire"
)

// unbundled is what a receiver makes of a bundle, in a form that can be compared.
func unbundled(body []byte) (replies []amqp.Delivery, err error) {
	all, err := wire.DecodeBundle(&amqp.Delivery{Type: "warren/2m", Body: body})
	if err != nil {
		return nil, err
	}
	for reply := range all {
		replies = append(replies, *reply)
	}
	return replies, nil
}

func sameMessage(m *amqp.Publishing, d *amqp.Delivery) bool {
	return m.CorrelationId == d.CorrelationId && m.Type == d.Type && m.ContentType == d.ContentType &&
		m.ContentEncoding == d.ContentEncoding && bytes.Equal(m.Body, d.Body)
}

func TestBundledRepliesAreWhatTheyWereAlone(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 255)
	replies := []*amqp.Publishing{
		{CorrelationId: "1", Type: "warren/2r"},
		{CorrelationId: "2", Type: "warren/2r;n2", ContentType: "application/json", Body: []byte(`{"order":4711}`)},
		{CorrelationId: long, Type: "warren/2r;" + long[:200], ContentType: long, ContentEncoding: long, Body: make([]byte, 4096)},
		{CorrelationId: "", Type: "warren/2r;c5;oe", Body: []byte("{}"), DeliveryMode: wire.Persistent},
	}
	for n := 1; n <= len(replies); n++ {
		msg := wire.EncodeBundle(replies[:n])
		if msg.Type != "warren/2m" || msg.CorrelationId != "" || (msg.DeliveryMode == wire.Persistent) != (n == 4) {
			t.Errorf("%d replies: %+v", n, msg)
		}
		got, err := unbundled(msg.Body)
		if err != nil || len(got) != n {
			t.Fatalf("%d replies: %d, %v", n, len(got), err)
		}
		for i := range got {
			if !sameMessage(replies[i], &got[i]) {
				t.Errorf("reply %d of %d: %+v", i, n, got[i])
			}
		}
	}
}

// Who appends to the body of one reply must not write into the next.
func TestBodiesOfABundleHaveNoRoomForMore(t *testing.T) {
	t.Parallel()
	msg := wire.EncodeBundle([]*amqp.Publishing{
		{Type: "warren/2r", Body: []byte("one")}, {Type: "warren/2r", Body: []byte("two")},
	})
	replies, err := unbundled(msg.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(replies[0].Body, "xxx"...)
	if string(replies[1].Body) != "two" {
		t.Errorf("the second body is %q", replies[1].Body)
	}
}

func TestWhatFitsABundle(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		msg  amqp.Publishing
		fits bool
	}{
		"small":     {amqp.Publishing{Type: "warren/2r", Body: make([]byte, 4<<10)}, true},
		"large":     {amqp.Publishing{Type: "warren/2r", Body: make([]byte, 4<<10+1)}, false},
		"headers":   {amqp.Publishing{Type: "warren/2r", Headers: amqp.Table{"k": "v"}}, false},
		"version 1": {amqp.Publishing{Type: "warren/1;k=reply;n=1"}, false},
		"a call":    {amqp.Publishing{Type: "warren/2c"}, false},
	} {
		if fits := wire.FitsBundle(&test.msg); fits != test.fits {
			t.Errorf("%s: %v", name, fits)
		}
	}
	for typ, is := range map[string]bool{
		"warren/2m": true, "warren/2m;z1": true, "warren/2mx": false, "warren/2r": false, "warren/22m": false, "": false, "warren/1;k=m": false,
	} {
		if wire.IsBundle(typ) != is {
			t.Errorf("%s: %v", typ, !is)
		}
	}
}

// On a method's queue a bundle is no call.
func TestBundleIsNoRequest(t *testing.T) {
	t.Parallel()
	msg := wire.EncodeBundle([]*amqp.Publishing{{Type: "warren/2r"}})
	if req, err := wire.DecodeRequest(&amqp.Delivery{Type: msg.Type, Body: msg.Body}, "m", limits); req != nil || !errors.Is(err, wire.ErrNotACall) {
		t.Errorf("%+v, %v", req, err)
	}
}

func TestBundlesAreReadAndWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	for _, vector := range vectors(t, "bundles", 10) {
		var v struct {
			BodyHex string          `json:"body_hex"`
			Written bool            `json:"written"`
			Then    string          `json:"then"`
			Replies []messageVector `json:"replies"`
		}
		decodeVector(t, vector, &v)
		body, err := hex.DecodeString(v.BodyHex)
		if err != nil {
			t.Fatal(err)
		}
		got, err := unbundled(body)
		if (v.Then == "drop") != (err != nil) || len(got) != len(v.Replies) {
			t.Errorf("%s: %+v, %v", vector, got, err)
			continue
		}
		var alone []*amqp.Publishing
		for i := range v.Replies {
			d := v.Replies[i].delivery(t)
			m := &amqp.Publishing{CorrelationId: d.CorrelationId, Type: d.Type, ContentType: d.ContentType, Body: d.Body}
			if !sameMessage(m, &got[i]) {
				t.Errorf("%s: reply %d is %+v", vector, i, got[i])
			}
			alone = append(alone, m)
		}
		if v.Written && !bytes.Equal(wire.EncodeBundle(alone).Body, body) {
			t.Errorf("%s: written as %x", vector, wire.EncodeBundle(alone).Body)
		}
	}
}

// What can be read is what its replies are written as, to the last byte.
func FuzzDecodeBundle(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0})
	f.Add([]byte{255})
	f.Add([]byte{1, 0, 0, 0, 0, 255, 255, 255, 255})
	f.Add([]byte{2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 'x'})
	f.Add(wire.EncodeBundle([]*amqp.Publishing{
		{CorrelationId: "1", Type: "warren/2r;n2", ContentType: "text/plain", Body: []byte("a")}, {CorrelationId: "2", Type: "warren/2r"},
	}).Body)
	f.Fuzz(func(t *testing.T, body []byte) {
		sent := slices.Clone(body)
		replies, err := unbundled(body)
		if err != nil {
			if replies != nil {
				t.Error("replies and an error")
			}
			return
		}
		var again []*amqp.Publishing
		for i := range replies {
			r := &replies[i]
			if cap(r.Body) != len(r.Body) {
				t.Errorf("reply %d has room for %d bytes more", i, cap(r.Body)-len(r.Body))
			}
			again = append(again, &amqp.Publishing{
				CorrelationId: r.CorrelationId, Type: r.Type, ContentType: r.ContentType, ContentEncoding: r.ContentEncoding, Body: r.Body,
			})
		}
		if len(again) < 1 || len(again) > 255 {
			t.Fatalf("%d replies", len(again))
		}
		if got := wire.EncodeBundle(again).Body; !bytes.Equal(got, sent) || !bytes.Equal(body, sent) {
			t.Errorf("%x is written as %x", sent, got)
		}
	})
}

func BenchmarkBundle(b *testing.B) {
	replies := make([]*amqp.Publishing, 16)
	for i := range replies {
		replies[i] = &amqp.Publishing{
			CorrelationId: fmt.Sprintf("%022d", i), Type: "warren/2r", ContentType: "application/json", Body: make([]byte, 64),
		}
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = wire.EncodeBundle(replies)
		}
	})
	b.Run("decode", func(b *testing.B) {
		body := wire.EncodeBundle(replies).Body
		b.ReportAllocs()
		for b.Loop() {
			all, err := wire.DecodeBundle(&amqp.Delivery{Body: body})
			if err != nil {
				b.Fatal(err)
			}
			for reply := range all {
				_ = reply.CorrelationId
			}
		}
	})
}
