package amqptest

import (
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Keep says what a broker still has after Restart.
type Keep uint8

const (
	// KeepMessages keeps what RabbitMQ keeps: durable exchanges and queues with
	// their bindings, persistent messages in durable classic queues, and all
	// messages in quorum queues.
	KeepMessages Keep = iota
	// LoseMessages keeps durable exchanges and queues, and no message.
	LoseMessages
	// LoseAll keeps nothing, as a broker does whose disk was lost.
	LoseAll
)

// Stop takes the broker down as if its process had been killed: all connections
// are dropped without a word, and new ones are dropped as they come, while the
// port stays the broker's. It returns when the connections have ended: what was
// unacknowledged is back in its queues. Resume or Restart bring it up again.
func (b *Broker) Stop() {
	b.mu.Lock()
	b.down = true
	b.mu.Unlock()
	b.Sever()
}

// Resume lets a broker that was stopped accept connections again, with all that
// it had.
func (b *Broker) Resume() {
	b.mu.Lock()
	b.down = false
	b.mu.Unlock()
}

// Restart stops the broker, unless it is stopped already, lets it forget what it
// does not keep, and resumes. Call CloseConnections before for a restart in an
// orderly way. Users and virtual hosts stay.
func (b *Broker) Restart(keep Keep) {
	b.restart.Lock()
	defer b.restart.Unlock()
	b.Stop()
	for _, h := range b.allHosts() {
		if keep == LoseAll {
			h.Reset()
		} else {
			h.Restart(keep == KeepMessages)
		}
	}
	b.Resume()
}

// Sever drops all connections without a word, and returns when they have ended:
// what was unacknowledged is back in its queues, and exclusive queues are gone.
func (b *Broker) Sever() {
	list := b.allConns()
	for _, c := range list {
		c.cut()
	}
	for _, c := range list {
		<-c.ended
	}
}

// CloseConnections closes all connections as an operator does: with 320 and the
// text "CONNECTION_FORCED - " before the reason. It waits until the clients have
// answered, for a second at most; those who have not are dropped some seconds
// later.
func (b *Broker) CloseConnections(reason string) {
	b.closeConnections(reason, func(*conn) bool { return true })
}

func (b *Broker) closeConnections(reason string, which func(*conn) bool) {
	var list []*conn
	for _, c := range b.allConns() {
		if which(c) {
			c.closeFrom(&codec.Error{Code: codec.ConnectionForced, Text: reason})
			list = append(list, c)
		}
	}
	patience := time.NewTimer(closeGrace)
	defer patience.Stop()
	for _, c := range list {
		select {
		case <-c.ended:
		case <-patience.C:
			return
		}
	}
}
