package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/rabbit"
)

const demoDescription = `Starts a broker in memory, server processes, and a client that makes real calls
at a steady rate. Now and then it kills a server (kill -9) while that has a
request in hand, and starts it again: before the handler, in it, after its
effect, after the reply, after the reply's confirm. Every call carries a number
and must come back with its square.

It ends with what became of the calls. A call is lost if it got neither a reply
nor a typed error within its timeout and a second; then, or if a reply was
another call's, the exit code is 7. The servers have no store, so a call may be
executed more than once; how often is counted from what the handlers themselves
have written down.

With --store the servers have one memory in common, and the calls that the kills
interrupt are not executed twice: it is broken, and the exit code 7, if one was, or if
one was answered and not executed.
   postgres   a private PostgreSQL. The effect of a call is a row, written in the
              transaction that commits with the record of the call
   redis      a private Redis, in at-most-once mode: a call whose server was killed
              fails with aborted and is never begun again
   URL        of a PostgreSQL database, in which the demo makes a schema of its own
              that it drops at the end
PostgreSQL or Redis must be installed, as RabbitMQ.

With --rabbitmq it starts a private RabbitMQ instead of the broker in memory,
which is for development and tests. RabbitMQ must be installed; if it is not, the
exit code is 6 and the error names the command that installs it. With a URL the
demo uses that broker, with a queue of its own that it deletes at the end.

Examples:
   warren demo
   warren demo --rabbitmq
   warren demo --calls 200 --kills 3
   warren demo --rabbitmq --store postgres --servers 3
   warren demo --json --quiet --rate 0 --inflight 256
   warren demo --url amqps://broker.example/ --servers 4`

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:        "demo",
		Usage:       "make calls, kill servers under them, and count what happened",
		Description: demoDescription,
		Flags: append([]cli.Flag{
			&cli.IntFlag{Name: "calls", Value: 5000, Usage: "how many calls are made"},
			&cli.IntFlag{Name: "kills", Value: 12, Usage: "how often a server is killed"},
			&cli.IntFlag{Name: "servers", Value: 2, Usage: "server processes"},
			&cli.IntFlag{Name: "rate", Value: 350, Usage: "calls per second; 0 is as fast as possible"},
			&cli.IntFlag{Name: "inflight", Value: 64, Usage: "most calls in flight"},
			&cli.DurationFlag{Name: "timeout", Value: 20 * time.Second, Usage: "deadline of each call"},
			&cli.Int64Flag{Name: "seed", Usage: "order of the points at which servers are killed", DefaultText: "another one each time"},
			&cli.StringFlag{Name: "store", Usage: "`STORE` that the servers share: postgres, redis, or the URL of a PostgreSQL database", DefaultText: "none"},
			&cli.BoolFlag{Name: "rabbitmq", Usage: "without a URL: start a private RabbitMQ"},
		}, urlFlags(withoutURL)...),
		Action: demo,
	}
}

// demoOptions is the demo's command line, checked.
type demoOptions struct {
	calls, kills, servers, rate, inflight int
	timeout                               time.Duration
	seed                                  int64
	urls                                  []string  // none: a broker of its own
	rabbitmq                              bool      // which is a RabbitMQ
	store                                 demoStore // nil: the servers have none
}

// over names the broker for a person.
func (o demoOptions) over() string {
	switch {
	case len(o.urls) > 0:
		return "the broker of the URL"
	case o.rabbitmq:
		return "RabbitMQ"
	default:
		return "a broker in memory"
	}
}

func newDemoOptions(cmd *cli.Command) (demoOptions, error) {
	o := demoOptions{
		calls: cmd.Int("calls"), kills: cmd.Int("kills"), servers: cmd.Int("servers"), rate: cmd.Int("rate"),
		inflight: cmd.Int("inflight"), timeout: cmd.Duration("timeout"), seed: cmd.Int64("seed"),
		rabbitmq: cmd.Bool("rabbitmq"),
	}
	if !cmd.IsSet("seed") {
		o.seed = time.Now().UnixNano()
	}
	if _, err := arguments(cmd, 0, 0); err != nil {
		return o, err
	}
	var err error
	if o.urls, err = brokerURLs(cmd); err != nil {
		return o, err
	}
	for _, check := range []error{
		within(cmd, "calls", o.calls, 1, 1_000_000), within(cmd, "kills", o.kills, 0, 10_000),
		within(cmd, "servers", o.servers, 1, 64), within(cmd, "rate", o.rate, 0, 1_000_000),
		within(cmd, "inflight", o.inflight, 1, 10_000), within(cmd, "timeout", o.timeout, time.Second, 10*time.Minute),
	} {
		if check != nil {
			return o, check
		}
	}
	if o.store, err = newDemoStore(cmd); err != nil {
		return o, err
	}
	if o.kills > o.calls {
		return o, usageError(cmd, "--kills is %d; it must not be more than --calls, which is %d", o.kills, o.calls)
	}
	return o, nil
}

func demo(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	o, err := newDemoOptions(cmd)
	if err != nil {
		return err
	}
	result, err := runDemo(ctx, cmd, out, o)
	switch {
	case ctx.Err() != nil:
		return interrupted()
	case err != nil:
		return err
	}
	return printDemo(out, result)
}

func printDemo(out *output, result *demoResult) error {
	var err error
	if out.json {
		err = out.object(result.json())
	} else {
		err = out.text(result.text())
	}
	if err == nil && result.broken() {
		err = exit(exitBroken, "verdict broken: %s", result.verdict())
	}
	return err
}

const (
	// startPatience bounds the start of a server on a busy machine.
	startPatience = time.Minute
	// brokerPatience bounds the first connection to a broker.
	brokerPatience = 5 * time.Second
)

// runDemo runs the whole demo and leaves nothing behind. Its errors are
// exitErrors, unless ctx has ended.
func runDemo(ctx context.Context, cmd *cli.Command, out *output, o demoOptions) (*demoResult, error) {
	method := "demo." + strings.ToLower(rand.Text()[:10]) + ".square"
	urls, closeBroker, err := demoBroker(ctx, out, o)
	if err != nil {
		return nil, err
	}
	defer closeBroker()
	memory, err := openDemoMemory(ctx, out, o.store)
	if err != nil {
		return nil, err
	}
	defer memory.close()
	c, disconnect, err := demoClient(ctx, cmd, out, urls)
	if err != nil {
		return nil, err
	}
	defer disconnect()
	if len(o.urls) > 0 {
		defer deleteQueue(out, urls, method)
	}

	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	executable, err := os.Executable()
	if err != nil {
		return nil, exit(exitInternal, "cannot find this program: %w", err)
	}
	servers := newFleet(executable, method, urls, memory, fail)
	defer servers.end()
	if err := servers.start(ctx, o.servers); err != nil {
		return nil, demoError(ctx, err)
	}

	kills := newKiller(servers, killPoints(o.kills, o.seed, memory.points()), o.timeout)
	calls := &load{
		client: c, method: method, calls: o.calls, inflight: o.inflight, rate: o.rate, timeout: o.timeout,
		before: kills.beforeCall(o.calls), tally: &tally{},
	}
	stopProgress := showProgress(ctx, out, o, calls.tally, kills)
	err = calls.run(ctx)
	if err == nil {
		err = kills.wait(ctx)
	}
	stopProgress()
	if err != nil {
		return nil, demoError(ctx, err)
	}
	// What they have executed is known once they have ended.
	if err := servers.stop(ctx); err != nil {
		return nil, demoError(ctx, err)
	}
	done := servers.effects.count()
	if memory != nil && memory.count != nil {
		if done, err = memory.count(ctx); err != nil {
			return nil, demoError(ctx, fmt.Errorf("count the effects: %w", err))
		}
	}
	return newDemoResult(o, calls.tally, kills, memory, done), nil
}

// demoError returns why ctx has ended early, or err.
func demoError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e
	}
	return exit(exitInternal, "%w", err)
}

// demoBroker returns the URLs of the demo's broker, and what ends one of its
// own.
func demoBroker(ctx context.Context, out *output, o demoOptions) ([]string, func(), error) {
	if len(o.urls) > 0 {
		out.note("using the broker of the URL, not one of its own")
		return o.urls, func() {}, nil
	}
	if !o.rabbitmq {
		// Not where others look for a broker: they have nothing to look for in it.
		b, err := ownBroker(out, "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		return []string{b.URL()}, func() { _ = b.Close() }, nil
	}
	out.note("starting a private RabbitMQ, which takes some seconds")
	node, err := rabbit.Start(ctx, rabbit.Options{})
	if err != nil {
		return nil, nil, notStarted(out, exitBroker, err)
	}
	return []string{node.URL()}, closer(out, node), nil
}

// notStarted ends a demo that has not got what it is to start, with the first line of
// the error; more of them are the end of a log.
func notStarted(out *output, code int, err error) error {
	first, rest, _ := strings.Cut(err.Error(), "\n")
	if rest != "" && !out.quiet {
		_, _ = fmt.Fprintln(out.stderr, rest)
	}
	if _, text, named := strings.Cut(first, ": "); named { // the package's name
		first = text
	}
	return exit(code, "%s", first)
}

// closer returns what closes something private of the demo's.
func closer(out *output, c io.Closer) func() {
	return func() {
		if err := c.Close(); err != nil {
			out.note("%v", err)
		}
	}
}

// demoQueueExpires is how long the demo's queue outlives a demo that could not
// delete it.
const demoQueueExpires = 10 * time.Minute

func deleteQueue(out *output, urls []string, queue string) {
	for range 3 {
		if slices.ContainsFunc(urls, func(url string) bool { return deleted(url, queue) }) {
			return
		}
	}
	out.note("the queue %s could not be deleted; it expires after %v", queue, demoQueueExpires)
}

// deleted deletes the queue, and reports whether it has gone for good: the declaration
// of a server that was killed may still have been on its way to the broker.
func deleted(url, queue string) bool {
	conn, err := amqp.DialConfig(url, amqp.Config{Dial: amqp.DefaultDial(5 * time.Second)})
	if err != nil {
		return false
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		_, err = ch.QueueDelete(queue, false, false, false)
	}
	if err != nil {
		return false
	}
	time.Sleep(200 * time.Millisecond)
	_, err = ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	gone, ok := errors.AsType[*amqp.Error](err)
	return ok && gone.Code == amqp.NotFound
}

func demoClient(ctx context.Context, cmd *cli.Command, out *output, urls []string) (*client.Client, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	c, disconnect, err := connect(ctx, cmd, out, warren.Broker{URLs: urls, Name: "warren demo"})
	if e, ok := warren.AsError(err); ok {
		return nil, nil, exit(callExitCode(e), "%s", e.Message)
	}
	return c, disconnect, err
}
