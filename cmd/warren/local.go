package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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
programs, in WARREN_URL.

Without --listen it takes 127.0.0.1:5672, where clients look first, or another
port if that is taken.

With --fault it fails on purpose. A rule says what it meets, after which match,
and what it then does:
   basic.publish key=orders nth=3: nack
   basic.deliver queue=orders every=10: sever-after
   basic.ack times=1: drop
The package test/amqptest lists all words.

Examples:
   warren broker
   warren broker --trace
   warren broker --fault 'basic.publish nth=100: restart keep-messages 500ms'
   warren broker --listen 127.0.0.1:0 --json`

func brokerCommand() *cli.Command {
	return &cli.Command{
		Name:        "broker",
		Usage:       "run a broker for development",
		Description: brokerDescription,
		// The actions of a rule are separated by commas.
		DisableSliceFlagSeparator: true,
		Flags: append([]cli.Flag{
			&cli.StringFlag{
				Name: "listen", Usage: "`ADDRESS` to accept connections on, host:port; port 0 is any that is free", DefaultText: localAddress,
			},
			&cli.StringSliceFlag{Name: "fault", Usage: "`RULE` of a fault; may be repeated"},
			&cli.BoolFlag{Name: "trace", Usage: "print what passes through the broker on standard error, one line each"},
		}, outputFlags()...),
		Action: runBroker,
	}
}

func runBroker(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	if _, err := arguments(cmd, 0, 0); err != nil {
		return err
	}
	rules, err := faultRules(cmd)
	if err != nil {
		return err
	}
	if cmd.Bool("trace") {
		rules = append(rules, traceRule(out))
	}
	b, err := listenLocally(cmd.String("listen"), rules...)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	if out.json {
		err = out.event(struct {
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

// faultRules reads the rules of --fault.
func faultRules(cmd *cli.Command) ([]amqptest.Rule, error) {
	var rules []amqptest.Rule
	for _, text := range cmd.StringSlice("fault") {
		rule, err := amqptest.ParseRule(text)
		if err != nil {
			return nil, usageError(cmd, "--fault: %s", strings.TrimPrefix(err.Error(), "amqptest: "))
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// traceRule prints every event, and changes none.
func traceRule(out *output) amqptest.Rule {
	const name = "trace"
	var mu sync.Mutex
	return amqptest.Rule{Name: name, Times: amqptest.Always, Do: amqptest.Do(func(ev *amqptest.Event) {
		line := *ev
		line.Faults = slices.DeleteFunc(slices.Clone(ev.Faults), func(fault string) bool { return fault == name })
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintln(out.stderr, oneLine(line.String()))
	})}
}

// listenLocally starts a broker. Without an address it takes the usual one, or
// any if that is taken.
func listenLocally(address string, faults ...amqptest.Rule) (*amqptest.Broker, error) {
	options := amqptest.Options{Listen: address, Faults: faults}
	if address == "" {
		options.Listen = localAddress
	}
	b, err := amqptest.Start(options)
	if address == "" && errors.Is(err, syscall.EADDRINUSE) {
		options.Listen = ""
		b, err = amqptest.Start(options)
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
