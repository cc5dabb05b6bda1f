package rabbit

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Queue is what the broker knows of a queue at one moment. The counts of a
// quorum queue may be some seconds old.
type Queue struct {
	Name      string `json:"name"`
	Type      string `json:"type"` // "classic", "quorum" or "stream"
	Durable   bool   `json:"durable"`
	Messages  int    `json:"messages"` // Ready and Unacked
	Ready     int    `json:"ready"`
	Unacked   int    `json:"unacked"` // delivered, not yet acknowledged
	Consumers int    `json:"consumers"`
}

// Queues lists the queues of a virtual host, in no order.
func (n *Node) Queues(ctx context.Context, vhost string) ([]Queue, error) {
	answer, err := n.control.eval(ctx, fmt.Sprintf(
		`Number = fun(Key, Info) -> case proplists:get_value(Key, Info) of
			N when is_integer(N) -> N;
			_ -> 0
		end end,
		rabbit_json:encode([
			#{name => element(4, proplists:get_value(name, Info)),
			  type => case proplists:get_value(type, Info) of
				rabbit_classic_queue -> classic;
				rabbit_quorum_queue -> quorum;
				rabbit_stream_queue -> stream;
				Type -> Type
			  end,
			  durable => proplists:get_value(durable, Info),
			  messages => Number(messages, Info),
			  ready => Number(messages_ready, Info),
			  unacked => Number(messages_unacknowledged, Info),
			  consumers => Number(consumers, Info)}
			|| Info <- rabbit_amqqueue:info_all(%s,
				[name, type, durable, messages, messages_ready, messages_unacknowledged, consumers])]).`,
		erlBinary(vhost)))
	if err != nil {
		return nil, fmt.Errorf("rabbit: queues: %w", err)
	}
	var queues []Queue
	if err := json.Unmarshal(answer, &queues); err != nil {
		return nil, fmt.Errorf("rabbit: queues: %w", err)
	}
	return queues, nil
}

// DeleteQueue removes a queue with what it holds, used or not. Its consumers
// are cancelled. It is an error if the queue does not exist.
func (n *Node) DeleteQueue(ctx context.Context, vhost, name string) error {
	_, err := n.control.eval(ctx, fmt.Sprintf(
		`{ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(%s, queue, %s)),
		{ok, _} = rabbit_amqqueue:delete(Queue, false, false, %s).`,
		erlBinary(vhost), erlBinary(name), actor))
	if err != nil {
		return fmt.Errorf("rabbit: delete queue %q: %w", name, err)
	}
	return nil
}

// Connections counts the client connections that are open or being opened or
// closed.
func (n *Node) Connections(ctx context.Context) (int, error) {
	return n.count(ctx, "rabbit_networking:connections()")
}

// Channels counts the open channels of all connections.
func (n *Node) Channels(ctx context.Context) (int, error) {
	return n.count(ctx, "rabbit_channel:list()")
}

func (n *Node) count(ctx context.Context, list string) (int, error) {
	answer, err := n.control.eval(ctx, "integer_to_binary(length("+list+")).")
	if err != nil {
		return 0, fmt.Errorf("rabbit: count: %w", err)
	}
	return strconv.Atoi(string(answer))
}

// ConsumerTimeout is how long a delivery on a channel that is opened from now on may
// go without an acknowledgement; the broker closes the channel after that. It looks ten
// times in that time, and not each minute as it does by default.
func (n *Node) ConsumerTimeout(ctx context.Context, timeout time.Duration) error {
	_, err := n.control.eval(ctx, fmt.Sprintf(
		`ok = application:set_env(rabbit, consumer_timeout, %d), ok = application:set_env(rabbit, channel_tick_interval, %d).`,
		timeout.Milliseconds(), (timeout/10).Milliseconds()))
	if err != nil {
		return fmt.Errorf("rabbit: consumer timeout: %w", err)
	}
	return nil
}

// CloseConnections makes the broker close every client connection with the AMQP
// error 320 (connection forced) and the reason. It returns once all have been
// told; a client that does not answer is dropped some seconds later.
func (n *Node) CloseConnections(ctx context.Context, reason string) error {
	// One that ends by itself meanwhile is no failure.
	_, err := n.control.eval(ctx, fmt.Sprintf(
		`[try rabbit_networking:close_connection(C, %s) catch _:_ -> ok end
			|| C <- rabbit_networking:connections()], ok.`, erlBinary(reason)))
	if err != nil {
		return fmt.Errorf("rabbit: close connections: %w", err)
	}
	return nil
}
