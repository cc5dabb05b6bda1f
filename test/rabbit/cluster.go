package rabbit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/warren-rpc/warren/test/internal/private"
)

// Cluster is a RabbitMQ cluster of private nodes on loopback. Each node can be
// killed, frozen and restarted by its own methods; data, ports and addresses
// stay. Quorum queues that are declared on it have a member on every node, up to
// five. All methods are safe for concurrent use.
//
// A node that is killed comes back by Restart while most of the others run. After
// all have been down, restart all of them at the same time: each waits for the
// others.
type Cluster struct {
	nodes []*Node
}

// ClusterOptions configures a cluster. The zero value is three plain nodes.
type ClusterOptions struct {
	// Nodes is how many there are. Default: 3; 1 to 7.
	Nodes int
	// Node is for each node. Its Config must not set listeners or cluster_formation.
	Node Options
}

// StartCluster boots the nodes, the first one alone and then the others at the
// same time, and returns when all of them accept connections and know each other.
// The context bounds that; without a deadline each of the two steps has three minutes.
// After an error nothing is left behind. Errors are those of Start.
func StartCluster(ctx context.Context, options ClusterOptions) (*Cluster, error) {
	if options.Nodes == 0 {
		options.Nodes = 3
	}
	if options.Nodes < 1 || options.Nodes > 7 {
		return nil, errors.New("rabbit: ClusterOptions.Nodes must be 1 to 7")
	}
	began := time.Now()
	first, err := Start(ctx, options.Node)
	if err != nil {
		return nil, err
	}
	c := &Cluster{nodes: make([]*Node, options.Nodes)}
	c.nodes[0] = first
	err = together(c.nodes[1:], func(n **Node) (err error) {
		*n, err = startNode(ctx, first.server, options.Node, first.family)
		return err
	})
	if err == nil {
		err = c.whole(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	first.logf("rabbit: a cluster of %d nodes after %v", options.Nodes, time.Since(began).Round(time.Millisecond))
	return c, nil
}

// running is the list of running nodes, which older releases name otherwise.
const running = `case erlang:function_exported(rabbit_nodes, list_running, 0) of
	true -> rabbit_nodes:list_running();
	false -> rabbit_nodes:all_running()
end`

// whole waits until every node sees all of them run.
func (c *Cluster) whole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	return private.Poll(ctx, func() (bool, error) {
		for _, n := range c.nodes {
			seen, err := n.count(ctx, running)
			if err != nil {
				return false, err
			}
			if seen != len(c.nodes) {
				return false, nil
			}
		}
		return true, nil
	})
}

// Nodes returns the cluster's nodes, in an order that stays.
func (c *Cluster) Nodes() []*Node { return append([]*Node(nil), c.nodes...) }

// URLs are the addresses of a virtual host on every node, as guest, in the order
// of Nodes.
func (c *Cluster) URLs(vhost string) []string {
	urls := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		urls[i] = n.URLAs("guest", "guest", vhost)
	}
	return urls
}

// Leader returns the node that leads a quorum queue, or keeps a classic one. It is
// an error if no running node knows a leader at the moment, as for a second or so
// after the leader was killed.
func (c *Cluster) Leader(ctx context.Context, vhost, queue string) (*Node, error) {
	// ra knows of an election before the queue's record does.
	answer, err := c.ask(ctx, fmt.Sprintf(
		`{ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(%s, queue, %s)),
		Leader = case amqqueue:get_pid(Queue) of
			Pid when is_pid(Pid) -> node(Pid);
			{Name, _} ->
				{ok, _, {Name, Node}} = ra:members({Name, node()}, 2000),
				true = lists:member(Node, [node() | nodes()]),
				Node
		end,
		atom_to_binary(Leader).`, erlBinary(vhost), erlBinary(queue)))
	if err != nil {
		return nil, fmt.Errorf("rabbit: leader of queue %q: %w", queue, err)
	}
	for _, n := range c.nodes {
		if n.name == answer {
			return n, nil
		}
	}
	return nil, fmt.Errorf("rabbit: leader of queue %q: %s is not of this cluster", queue, answer)
}

// Members counts the members that a quorum queue has, and those of them whose
// nodes run.
func (c *Cluster) Members(ctx context.Context, vhost, queue string) (members, online int, err error) {
	answer, err := c.ask(ctx, fmt.Sprintf(
		`{ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(%s, queue, %s)),
		#{nodes := Nodes} = amqqueue:get_type_state(Queue),
		Online = [N || N <- Nodes, lists:member(N, [node() | nodes()])],
		io_lib:format("~b ~b", [length(Nodes), length(Online)]).`, erlBinary(vhost), erlBinary(queue)))
	if err != nil {
		return 0, 0, fmt.Errorf("rabbit: members of queue %q: %w", queue, err)
	}
	fields := strings.Fields(answer)
	if len(fields) != 2 {
		return 0, 0, fmt.Errorf("rabbit: members of queue %q: odd answer %q", queue, answer)
	}
	members, err = strconv.Atoi(fields[0])
	if err == nil {
		online, err = strconv.Atoi(fields[1])
	}
	return members, online, err
}

// ask returns the first answer that a running node gives. A node that is frozen
// has five seconds.
func (c *Cluster) ask(ctx context.Context, expressions string) (string, error) {
	err := fmt.Errorf("rabbit: %w", private.ErrDown)
	for _, n := range c.nodes {
		if n.PID() == 0 {
			continue
		}
		turn, cancel := context.WithTimeout(ctx, 5*time.Second)
		answer, askErr := n.control.eval(turn, expressions)
		cancel()
		if askErr == nil {
			return string(answer), nil
		}
		err = askErr
	}
	return "", err
}

// Close closes every node, and what they share. It is legal more than once.
func (c *Cluster) Close() error {
	err := together(c.nodes[1:], func(n **Node) error {
		if *n == nil {
			return nil // it did not start
		}
		return (*n).Close()
	})
	return errors.Join(err, c.nodes[0].Close()) // last: it has the port mapper
}

// together calls do for all nodes at the same time and joins the errors.
func together(nodes []*Node, do func(**Node) error) error {
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() { errs[i] = do(&nodes[i]) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
