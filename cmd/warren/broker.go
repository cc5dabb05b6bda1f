package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
)

const defaultURL = "amqp://guest:guest@localhost:5672/" //nolint:gosec // what every RabbitMQ has, for its own machine alone

// brokerFlags are the flags of every command that talks to a broker.
// withoutURL says what happens if none is given.
func brokerFlags(withoutURL string) []cli.Flag {
	return append([]cli.Flag{
		&cli.StringSliceFlag{
			Name: "url", Sources: cli.EnvVars("WARREN_URL"), DefaultText: withoutURL,
			Usage: "`URL` of the broker, amqp://user:password@host:port/vhost or amqps; of a cluster, several separated by commas",
		},
	}, outputFlags()...)
}

// brokerURLs returns what --url and WARREN_URL say, checked; nothing if neither
// is given.
func brokerURLs(cmd *cli.Command) ([]string, error) {
	var list []string
	for _, value := range cmd.StringSlice("url") {
		for raw := range strings.SplitSeq(value, ",") {
			list = append(list, strings.TrimSpace(raw))
		}
	}
	for i, raw := range list {
		if err := (warren.Broker{URLs: []string{raw}}).Validate(); err != nil {
			which := "the broker's URL"
			if len(list) > 1 {
				which = fmt.Sprintf("broker URL %d of %d", i+1, len(list))
			}
			return nil, usageError(cmd, "%s: %s", which, strings.TrimPrefix(err.Error(), "warren: Broker.URLs[0]: "))
		}
	}
	return list, nil
}

// brokerSettings is for commands that use the machine's broker unless told
// otherwise.
func brokerSettings(cmd *cli.Command) (warren.Broker, error) {
	list, err := brokerURLs(cmd)
	if err != nil {
		return warren.Broker{}, err
	}
	if len(list) == 0 {
		list = []string{defaultURL}
	}
	return warren.Broker{URLs: list, Name: "warren " + cmd.Name}, nil
}

// connectPatience is how long a command connects in silence.
const connectPatience = time.Second

// connect returns a client that is connected, and what closes it. The error is
// a *warren.Error, or an exitError.
func connect(ctx context.Context, cmd *cli.Command, out *output, settings warren.Broker) (*client.Client, func(), error) {
	c, err := client.New(client.Config{
		Broker: settings,
		Caller: "warren " + cmd.Name,
		// What matters of the connection is in the error of the call.
		Logger:     slog.New(slog.DiscardHandler),
		ReplyQueue: client.ReplyQueue{Expires: time.Minute},
	})
	if err != nil {
		return nil, nil, usageError(cmd, "%v", err)
	}
	disconnect := func() { closeSoon(c) }
	first, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	err = c.Ready(first)
	if err != nil && ctx.Err() == nil && errors.Is(first.Err(), context.DeadlineExceeded) {
		out.note("still connecting: %s", message(err))
		err = c.Ready(ctx)
	}
	if err != nil {
		disconnect()
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, nil, interrupted()
		}
		return nil, nil, err
	}
	return c, disconnect, nil
}

// message is the text of a *warren.Error without its code.
func message(err error) string {
	if e, ok := warren.AsError(err); ok {
		return e.Message
	}
	return err.Error()
}

// closeSoon closes the client, but does not keep a person waiting for a broker
// that does not answer: the reply queue expires by itself.
func closeSoon(c *client.Client) {
	done := make(chan struct{})
	go func() {
		_ = c.Close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

// within checks the value of a flag.
func within[T int | time.Duration](cmd *cli.Command, flag string, value, least, most T) error {
	if value < least || value > most {
		return usageError(cmd, "--%s is %v; it must be from %v to %v", flag, value, least, most)
	}
	return nil
}

// arguments returns the positional arguments, of which there must be from
// least to most.
func arguments(cmd *cli.Command, least, most int) ([]string, error) {
	args := cmd.Args().Slice()
	if len(args) < least {
		return nil, usageError(cmd, "an argument is missing: %s %s", cmd.FullName(), cmd.ArgsUsage)
	}
	if len(args) > most {
		return nil, usageError(cmd, "unexpected argument %.60q", args[most])
	}
	return args, nil
}
