package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
)

const queuesDescription = `Prints of each METHOD what its queue holds: how many requests are ready to be
delivered, how many servers consume it, and how many calls are parked in its dead
queue (METHOD.dead; "-" if there is none, because no server parks its calls).

AMQP tells that of a queue whose name is known, and has no way to list queues. So
without --management the methods come from the command line, from a file of
policies (those named there without a star), or from a gateway's file of routes. A
look declares nothing and takes no message.

With --management it asks RabbitMQ's management API, of which the plugin
rabbitmq_management must be on and the user have the tag "monitoring" or "management":
then it lists all methods of the virtual host, and adds what was delivered and not
acknowledged yet, the messages per second that come and go, the queue's type, the
memory of its process and the node of its leader. User and password are those of the
URL's own, else of the broker's (those of an amqps URL go by https alone, except to
this machine); so is the virtual host. What the API says is up to five seconds old. Queues that are no methods (of replies, of who owns a method, of
other programs) are hidden without --all.

The exit code is 4 if a METHOD of the command line has no queue, 3 if the answer does
not come in time, and 6 if the broker or the API cannot be reached or refuses. With
--watch the first look ends it so; later ones are tried again until SIGINT, and the
exit code is 0.

Examples:
   warren queues rpc_queue users.email
   warren queues --policies policy.yaml --routes gateway.yaml
   warren queues --management https://rabbit.example:15671/
   warren queues --watch 2s --json rpc_queue | jq '.queues[0].ready'`

func queuesCommand() *cli.Command {
	return &cli.Command{
		Name:        "queues",
		Usage:       "show methods: what is in line, servers, parked calls",
		ArgsUsage:   "[METHOD...]",
		Description: queuesDescription,
		Flags: connectionFlags(defaultURL,
			&cli.StringFlag{Name: "policies", TakesFile: true, Usage: "the methods of this `FILE` too; see warren policy"},
			&cli.StringFlag{Name: "routes", TakesFile: true, Usage: "the methods of this `FILE` too; see warren gateway"},
			managementFlag(),
			&cli.BoolFlag{Name: "all", Usage: "with --management: queues too that are no methods"},
			&cli.DurationFlag{Name: "watch", Usage: "look again after this `TIME`, 100ms to 1h", DefaultText: "look once"},
			timeoutFlag(),
		),
		Action: showQueues,
	}
}

func managementFlag() cli.Flag {
	return &cli.StringFlag{Name: "management", Usage: "`URL` of RabbitMQ's management API, such as http://localhost:15672/, with user and password unless they are those of --url"}
}

// queueRow is what is known of a method, or of another queue. What one of the two ways
// to look cannot know is nil.
type queueRow struct {
	Name      string `json:"name"`
	Exists    bool   `json:"exists"`
	Ready     int    `json:"ready"`
	Consumers int    `json:"consumers"`
	Dead      *int   `json:"dead"` // calls parked; null if there is no dead queue
	// Refused is why the broker tells nothing of the queue.
	Refused string `json:"refused,omitempty"`

	*queueDetails
}

// queueDetails is what the management API adds.
type queueDetails struct {
	Unacked      int     `json:"unacked"`
	InPerSecond  float64 `json:"in_per_second"`
	OutPerSecond float64 `json:"out_per_second"` // delivered, not acknowledged
	Type         string  `json:"type"`
	State        string  `json:"state"`
	Leader       string  `json:"leader"`
	MemoryBytes  int64   `json:"memory_bytes"`
}

// queueList is one look, and what `warren queues --json` prints of it.
type queueList struct {
	Source string      `json:"source"` // amqp or management
	VHost  string      `json:"vhost"`
	Hidden int         `json:"hidden"` // queues that are no methods
	Queues []*queueRow `json:"queues"`
}

// queueLooker looks at the queues of these names, or at all that it can list if there
// are none. Its errors are exitErrors.
type queueLooker interface {
	look(ctx context.Context, names []string) (*queueList, error)
	close()
}

func showQueues(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	names, err := queueNames(cmd)
	if err != nil {
		return err
	}
	l, err := newQueueLooker(cmd, names)
	if err != nil {
		return err
	}
	defer l.close()
	every := cmd.Duration("watch")
	if cmd.IsSet("watch") {
		if err := within(cmd, "watch", every, 100*time.Millisecond, time.Hour); err != nil {
			return err
		}
		return watchQueues(ctx, out, l, names, every)
	}
	list, err := l.look(ctx, names)
	if err != nil {
		return err
	}
	if err := printQueues(out, list); err != nil {
		return err
	}
	for _, q := range list.Queues {
		if !q.Exists && q.Refused == "" && slices.Contains(cmd.Args().Slice(), q.Name) {
			return &exitError{code: exitNoServer}
		}
	}
	return nil
}

func watchQueues(ctx context.Context, out *output, l queueLooker, names []string, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		list, err := l.look(ctx, names)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			out.note("%v", err)
		default:
			if isTerminal(out.stdout) && !out.json {
				err = out.printf("\x1b[H\x1b[J%s every %v; Ctrl-C ends it\n\n", time.Now().Format(time.TimeOnly), every)
			} else if !first && !out.json {
				err = out.printf("\n")
			}
			if err := firstError(err, printQueues(out, list)); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// queueNames returns the methods of the command line and of the files, each once.
func queueNames(cmd *cli.Command) ([]string, error) {
	names := cmd.Args().Slice()
	for _, name := range names {
		if err := warren.CheckMethod(name); err != nil {
			return nil, usageError(cmd, "%v", err)
		}
	}
	if path := cmd.String("policies"); path != "" {
		file, _, err := loadPolicies(cmd, path)
		if err != nil {
			return nil, err
		}
		var exact []string
		for name := range file.Rules.Methods {
			if !strings.Contains(name, "*") {
				exact = append(exact, name)
			}
		}
		slices.Sort(exact)
		names = append(names, exact...)
	}
	if path := cmd.String("routes"); path != "" {
		file, err := readRoutes(cmd, path)
		if err != nil {
			return nil, fileError(err)
		}
		for _, r := range file.Gateway.Routes {
			names = append(names, r.Method)
		}
	}
	var once []string
	for _, name := range names {
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	return once, nil
}

func newQueueLooker(cmd *cli.Command, names []string) (queueLooker, error) {
	settings, err := brokerSettings(cmd)
	if err != nil {
		return nil, err
	}
	timeout := cmd.Duration("timeout")
	if err := within(cmd, "timeout", timeout, time.Millisecond, longestTimeout); err != nil {
		return nil, err
	}
	api, err := managementURL(cmd)
	switch {
	case err != nil:
		return nil, err
	case api != nil && exposes(api, settings):
		return nil, usageError(cmd, "--management: the password of an amqps URL does not go to another machine over http; use https, or give this URL a user and a password of its own")
	case api != nil && len(names) > 0 && cmd.Bool("all"):
		return nil, usageError(cmd, "--all goes without a METHOD")
	case api != nil:
		return newManagement(api, settings, timeout, cmd.Bool("all")), nil
	case cmd.Bool("all"):
		return nil, usageError(cmd, "--all needs --management: AMQP cannot list queues")
	case len(names) == 0:
		return nil, usageError(cmd, "which methods: AMQP cannot list queues, so name some, give --policies or --routes with a file that does, or --management")
	}
	return &amqpLooker{settings: settings, timeout: timeout}, nil
}

// queueFailure says how looking at a queue failed over AMQP.
func queueFailure(name string, timeout time.Duration, err error) error {
	if errors.Is(err, errLate) {
		return exit(exitDeadline, "look up the queue %s: the broker has not answered within %v", name, timeout)
	}
	return exit(exitBroker, "look up the queue %s: %w", name, err)
}
