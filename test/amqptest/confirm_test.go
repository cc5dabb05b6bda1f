package amqptest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

func TestConfirmsAreGatheredUpToTheFirstThatDiffers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		acks, nacks, open []uint64
		want              []string
	}{
		{acks: []uint64{1}, want: []string{"ack 1"}},
		{acks: []uint64{1, 2, 3}, want: []string{"ack 3 multiple"}},
		{nacks: []uint64{2, 1}, want: []string{"nack 2 multiple"}},
		{acks: []uint64{1, 2, 4, 5}, nacks: []uint64{3}, want: []string{"ack 2 multiple", "ack 4", "ack 5", "nack 3"}},
		{acks: []uint64{2, 3}, nacks: []uint64{1, 4}, want: []string{"ack 2", "ack 3", "nack 1", "nack 4"}},
		{acks: []uint64{1, 2, 4}, open: []uint64{3}, want: []string{"ack 2 multiple", "ack 4"}},
		{acks: []uint64{2, 3}, open: []uint64{1}, want: []string{"ack 2", "ack 3"}},
	} {
		var got []string
		ch := &channel{c: newConn(&Broker{}, 1, nil)}
		ch.confirms = confirms{on: true, last: 5}
		for _, tag := range tt.open {
			ch.confirms.await(tag)
		}
		for _, tag := range tt.acks {
			ch.settle(tag, true)
		}
		for _, tag := range tt.nacks {
			ch.settle(tag, false)
		}
		ch.c.tellConfirms()
		for _, o := range ch.c.out.queue {
			switch m := o.method.(type) {
			case *codec.BasicAck:
				got = append(got, "ack "+told(m.DeliveryTag, m.Multiple))
			case *codec.BasicNack:
				got = append(got, "nack "+told(m.DeliveryTag, m.Multiple))
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("acks %v, nacks %v, open %v: told %q, want %q", tt.acks, tt.nacks, tt.open, got, tt.want)
		}
	}
}

func told(tag uint64, multiple bool) string {
	if multiple {
		return fmt.Sprintf("%d multiple", tag)
	}
	return fmt.Sprint(tag)
}

func TestConfirmsOfABurstCoverAllAndComeTogether(t *testing.T) {
	t.Parallel()
	p := login(t, New(t, Options{}))
	p.send(1, &codec.ConfirmSelect{})
	expect[*codec.ConfirmSelectOk](p, 1)
	const messages = 1000
	var burst []byte
	for range messages {
		burst = append(burst, publishFrames(1, &codec.BasicPublish{RoutingKey: "nowhere"}, nil)...)
	}
	p.raw(burst)
	acks, last := 0, uint64(0)
	for last < messages {
		ack := expect[*codec.BasicAck](p, 1)
		if ack.DeliveryTag <= last || ack.DeliveryTag > last+1 && !ack.Multiple {
			t.Fatalf("ack %d, multiple %v after %d", ack.DeliveryTag, ack.Multiple, last)
		}
		acks, last = acks+1, ack.DeliveryTag
	}
	if acks > messages/10 {
		t.Errorf("%d acks for %d messages", acks, messages)
	}
	p.raw(publishFrames(1, &codec.BasicPublish{RoutingKey: "nowhere"}, nil))
	if ack := expect[*codec.BasicAck](p, 1); ack.Multiple || ack.DeliveryTag != messages+1 {
		t.Errorf("a single publish is told by %+v", ack)
	}
}

// A confirm must not wait for the end of a message that has begun to come.
func TestConfirmComesWhileAnotherPublishIsUnderWay(t *testing.T) {
	t.Parallel()
	p := login(t, New(t, Options{}))
	p.send(1, &codec.ConfirmSelect{})
	expect[*codec.ConfirmSelectOk](p, 1)
	one := publishFrames(1, &codec.BasicPublish{RoutingKey: "nowhere"}, []byte("body"))
	p.raw(append(slices.Clone(one), one[:len(one)-3]...))
	if ack := expect[*codec.BasicAck](p, 1); ack.DeliveryTag != 1 {
		t.Errorf("got %+v", ack)
	}
	p.raw(one[len(one)-3:])
	if ack := expect[*codec.BasicAck](p, 1); ack.DeliveryTag != 2 {
		t.Errorf("got %+v", ack)
	}
}

func TestReturnComesBeforeItsConfirm(t *testing.T) {
	t.Parallel()
	p := login(t, New(t, Options{}))
	p.send(1, &codec.ConfirmSelect{NoWait: true})
	mandatory := publishFrames(1, &codec.BasicPublish{RoutingKey: "nowhere", Mandatory: true}, []byte("body"))
	p.raw(append(mandatory, mandatory...))
	for range 2 {
		if r := expect[*codec.BasicReturn](p, 1); r.ReplyCode != codec.NoRoute || r.ReplyText != "NO_ROUTE" || string(p.content()) != "body" {
			t.Errorf("returned %+v", r)
		}
	}
	// One by one or both at once.
	if ack := expect[*codec.BasicAck](p, 1); ack.DeliveryTag == 1 {
		expect[*codec.BasicAck](p, 1)
	} else if !ack.Multiple {
		t.Errorf("acked %+v", ack)
	}
}

func BenchmarkPublishConfirmed(b *testing.B) {
	broker, err := Start(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer broker.Close()
	p := login(b, broker)
	p.send(1, &codec.ConfirmSelect{NoWait: true})
	one := publishFrames(1, &codec.BasicPublish{RoutingKey: "nowhere"}, make([]byte, 64))
	b.ReportAllocs()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for last := uint64(0); last < uint64(b.N); {
			f, err := p.next()
			if err != nil {
				return
			}
			if m, err := codec.DecodeMethod(f.Payload); err == nil {
				if ack, ok := m.(*codec.BasicAck); ok {
					last = ack.DeliveryTag
				}
			}
		}
	}()
	batch := slices.Repeat(one, 50)
	for left := b.N; left > 0; left -= 50 {
		p.raw(batch[:min(left, 50)*len(one)])
	}
	<-done
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
