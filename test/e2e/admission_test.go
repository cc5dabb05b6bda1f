package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

func TestOverloadedMethodRefusesWhatItDoesNotHandle(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	var ran sync.Map
	s := newServer(t, url, func(s *server.Server) error {
		m := server.Method{Name: "narrow", Concurrency: 2, Prefetch: 4, Admission: server.Admission{Target: 100 * time.Millisecond}}
		return s.HandleRaw(m, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			ran.Store(req.CallID, true)
			time.Sleep(10 * time.Millisecond)
			return nil, nil
		})
	})
	p := newPlainPeer(t, url)
	const requests = 400 // two seconds' work
	for i := range requests {
		p.Publish("narrow", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: fmt.Sprint(i)})
	}
	shed := 0
	for range requests {
		d := p.Next()
		refused := strings.Contains(d.Type, ";c=resource_exhausted;r=overloaded;o=not_executed;w=")
		if refused {
			shed++
		}
		if _, handled := ran.Load(d.CorrelationId); handled == refused {
			t.Errorf("reply of type %s to request %s, handled: %v", d.Type, d.CorrelationId, handled)
		}
	}
	if st := s.Stats(); shed == 0 || st.Shed != uint64(shed) || st.Handled != uint64(requests-shed) {
		t.Errorf("%d shed, %+v", shed, st)
	}
	patience.Eventually(t, "all is acknowledged", func() bool {
		q, err := p.Channel.QueueDeclarePassive("narrow", false, false, false, false, nil)
		return err == nil && q.Messages == 0
	})
}
