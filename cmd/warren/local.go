package main

import (
	"context"
	"errors"
	"syscall"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/test/amqptest"
)

// localAddress is where the commands look for a broker that are told none.
const localAddress = "127.0.0.1:5672"

// withoutURL says in the help what commands do that bring a broker of their own.
const withoutURL = "a broker inside this process"

const brokerDescription = `Runs a broker for development and tests inside this process, until SIGINT or
SIGTERM. It speaks AMQP 0-9-1 and behaves like RabbitMQ, so programs written for
RabbitMQ in any language can use it; the user is guest, the password guest.

It keeps everything in memory and forgets it at its end. For anything that must
last use RabbitMQ, and give its address to the other commands and to your own
programs: WARREN_URL=amqp://user:password@host:5672/vhost

Without --listen it takes 127.0.0.1:5672, where clients look first, or another
port if that is taken.

Examples:
   warren broker
   warren broker --listen 127.0.0.1:0 --json`

func brokerCommand() *cli.Command {
	return &cli.Command{
		Name:        "broker",
		Usage:       "run a broker for development",
		Description: brokerDescription,
		Flags: append([]cli.Flag{
			&cli.StringFlag{
				Name: "listen", Usage: "`ADDRESS` to accept connections on, host:port; port 0 is any that is free", DefaultText: localAddress,
			},
		}, outputFlags()...),
		Action: runBroker,
	}
}

func runBroker(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	if _, err := arguments(cmd, 0, 0); err != nil {
		return err
	}
	b, err := listenLocally(cmd.String("listen"))
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	if out.json {
		err = out.object(struct {
			Ready bool   `json:"ready"`
			URL   string `json:"url"`
		}{true, b.URL()})
	} else {
		err = out.printf("%s\n", b.URL())
	}
	if err != nil {
		return err
	}
	out.note("a broker in memory, for development and tests; for RabbitMQ set WARREN_URL=amqp://user:password@host:5672/vhost")
	<-ctx.Done()
	return nil
}

// listenLocally starts a broker. Without an address it takes the usual one, or
// any if that is taken.
func listenLocally(address string) (*amqptest.Broker, error) {
	chosen := address
	if chosen == "" {
		chosen = localAddress
	}
	b, err := amqptest.Start(amqptest.Options{Listen: chosen})
	if address == "" && errors.Is(err, syscall.EADDRINUSE) {
		b, err = amqptest.Start(amqptest.Options{})
	}
	if err != nil {
		return nil, exit(exitUsage, "--listen: %w", err)
	}
	return b, nil
}

// ownBroker starts a broker for a command that was given none, and says so.
func ownBroker(out *output, address string) (*amqptest.Broker, error) {
	b, err := listenLocally(address)
	if err != nil {
		return nil, err
	}
	out.note("no broker given: using one in memory, for development and tests, at %s", b.URL())
	out.note("for RabbitMQ set WARREN_URL=amqp://user:password@host:5672/vhost")
	return b, nil
}
