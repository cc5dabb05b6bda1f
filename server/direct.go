package server

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/wire"
)

// direct publishes replies to direct reply-to addresses. Callers write there what
// they like, and RabbitMQ ends the connection that publishes to an address whose
// process it cannot find. So these replies have connections of their own, each made
// when the first is sent: one for addresses that have taken a reply before, and one
// for all others, on which a reply goes out when the one before has been confirmed.
// Who ends that connection is known, and takes nobody along.
type direct struct {
	ctx         context.Context // the links'
	known, news directLine

	mu    sync.Mutex
	taker map[string]struct{} // addresses that have taken a reply
}

// directLine is one of the two connections.
type directLine struct {
	link      *broker.Link
	publisher *broker.Publisher
	once      sync.Once
}

// mostTakers bounds the memory. When there are more all are forgotten, and their
// next replies go out one by one.
const mostTakers = 4096

func newDirect(ctx context.Context, cfg *Config, replies broker.PublisherConfig) *direct {
	d := &direct{ctx: ctx, taker: map[string]struct{}{}}
	d.known.publisher = broker.NewPublisher(replies)
	replies.Single = true
	d.news.publisher = broker.NewPublisher(replies)
	d.known.link = broker.NewLink(cfg.Broker, "warren server, publishes direct replies", cfg.Logger, d.known.publisher)
	d.news.link = broker.NewLink(cfg.Broker, "warren server, publishes first direct replies", cfg.Logger, d.news.publisher)
	return d
}

// isDirect reports whether a reply address is to be one of the broker's direct
// reply-to.
func isDirect(replyTo string) bool { return strings.HasPrefix(replyTo, wire.DirectReplyTo) }

// publisher returns what publishes to the address.
func (d *direct) publisher(address string) *broker.Publisher {
	d.mu.Lock()
	_, taken := d.taker[address]
	d.mu.Unlock()
	line := &d.news
	if taken {
		line = &d.known
	}
	line.once.Do(func() { _ = line.link.Start(d.ctx) }) // fails if the server is stopped: so does publishing then
	return line.publisher
}

// taken notes that the broker has taken a reply to the address.
func (d *direct) taken(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.taker) >= mostTakers {
		clear(d.taker)
	}
	if _, known := d.taker[address]; !known {
		d.taker[strings.Clone(address)] = struct{}{} // it is a part of all that came with a request
	}
}

// lost notes that it may not have: the caller's node may have left the cluster.
func (d *direct) lost(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.taker, address)
}

func (d *direct) stop(ctx context.Context) error {
	return errors.Join(d.known.link.Stop(ctx), d.news.link.Stop(ctx))
}

func (d *direct) close() {
	d.known.publisher.Close()
	d.news.publisher.Close()
}

func (d *direct) reconnects() int {
	return max(d.known.link.Sessions()-1, 0) + max(d.news.link.Sessions()-1, 0)
}
