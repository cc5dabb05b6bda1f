package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
)

const serveDescription = `Serves until SIGINT or SIGTERM, then takes no more requests, lets those at work
end, and exits with 0; a second signal ends it at once.

Without a URL it brings a broker of its own, in memory and for development, at
127.0.0.1:5672 or, if that is taken, at another port that it names.

Bodies are plain text, so that callers of RabbitMQ's tutorials are served too:
   rpc_queue      the Fibonacci number of a decimal index from 0 to 92
   users.email    the address of the user with a decimal ID (1 to 5 exist)
   sample.echo    the request itself
   sample.sleep   answers after so many milliseconds
   sample.fail    fails with the code that the body names, like not_found
   sample.panic   panics
   sample.count   adds one to a counter and answers with it; with --store only

With --store, a file or the URL of a store in PostgreSQL or Redis (see warren store
--help), a call is remembered for 24 h: one that is delivered or made again
with the same call ID is answered with the reply that it had, and its effect is
not repeated. A call whose server died runs again (at-least-once), is answered as
aborted/interrupted (at-most-once), or had no effect yet, as sample.count's counter
and the record of the call are committed as one (transactional; the other samples
have no effect, and are then at-least-once). A file is one server's; a URL may be that
of any number of servers. The counter is in the same place: in PostgreSQL in the table
warren_samples, which is made if it is not there. Redis has no transactional mode, and
at-most-once if the URL says how it is durable: ?durability=disk (appendfsync always),
or ?durability=replicas&replicas=N.

Examples:
   warren serve
   warren serve --url amqps://broker.example/ --queue-type classic
   warren serve --json --method rpc_queue --concurrency 8
   warren serve --store calls.db --store-mode transactional
   WARREN_STORE=postgres://shop@db/shop warren serve --store-mode transactional`

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:        "serve",
		Usage:       "serve sample methods",
		Description: serveDescription,
		Flags: connectionFlags(withoutURL, append([]cli.Flag{
			&cli.StringSliceFlag{Name: "method", Usage: "serve this `METHOD` alone; may be repeated", DefaultText: "all"},
			&cli.StringFlag{Name: "queue-type", Value: server.Quorum, Usage: "quorum, classic, or existing: a queue that is there already is used as it is"},
			&cli.IntFlag{Name: "concurrency", Value: 64, Usage: "requests handled at a time, per method"},
			&cli.IntFlag{Name: "prefetch", Usage: "requests held by this server, per method", DefaultText: "twice the concurrency"},
			&cli.DurationFlag{Name: "connect-timeout", Value: 10 * time.Second, Usage: "how long to try to connect at the start; 0 is for ever"},
			&cli.DurationFlag{Name: "drain-timeout", Value: 20 * time.Second, Usage: "how long requests at work may take when the server is stopped"},
		}, storeFlags()...)...),
		Action: serve,
	}
}

func serve(ctx context.Context, cmd *cli.Command) (err error) {
	out := newOutput(cmd)
	m, err := serveOptions(cmd)
	if err != nil {
		return err
	}
	mem, err := openMemory(ctx, cmd, out.logger())
	if err != nil {
		return err
	}
	if mem != nil {
		defer func() { err = errors.Join(err, mem.closes()) }()
	}
	chosen, err := chooseSamples(cmd, mem)
	if err != nil {
		return err
	}
	settings, own, err := serveBroker(cmd, out)
	if err != nil {
		return err
	}
	if own != nil {
		defer func() { _ = own.Close() }()
	}
	srv, methods, err := sampleServer(cmd, out, settings, m, chosen, mem)
	if err != nil {
		return err
	}
	startCtx, cancel := ctx, context.CancelFunc(func() {})
	if patience := cmd.Duration("connect-timeout"); patience > 0 {
		startCtx, cancel = context.WithTimeout(ctx, patience)
	}
	defer cancel()
	if err := srv.Start(startCtx); err != nil {
		if ctx.Err() != nil {
			return interrupted()
		}
		return startError(err)
	}
	if err := announce(out, methods, cmd.String("queue-type"), own); err != nil {
		return err
	}
	<-ctx.Done()
	out.note("stopping; a second signal stops at once")
	stopCtx, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), cmd.Duration("drain-timeout"))
	defer cancelStop()
	if err := srv.Stop(stopCtx); err != nil {
		return exit(exitInternal, "requests at work were given back to the broker: %w", err)
	}
	return nil
}

// serveOptions checks the command line but for the broker.
func serveOptions(cmd *cli.Command) (server.Method, error) {
	if _, err := arguments(cmd, 0, 0); err != nil {
		return server.Method{}, err
	}
	return methodSettings(cmd)
}

// serveBroker returns the broker of the command line or, if there is none, one
// of this process.
func serveBroker(cmd *cli.Command, out *output) (warren.Broker, *amqptest.Broker, error) {
	settings, err := namedBroker(cmd)
	if err != nil || len(settings.URLs) > 0 {
		return settings, nil, err
	}
	own, err := ownBroker(out, "")
	if err != nil {
		return settings, nil, err
	}
	settings.URLs, settings.Auth = []string{own.URL()}, warren.AuthPlain
	return settings, own, nil
}

func sampleServer(
	cmd *cli.Command, out *output, settings warren.Broker, m server.Method, chosen []sample, mem *memory,
) (*server.Server, []string, error) {
	cfg := server.Config{Broker: settings, Logger: out.logger()}
	if mem != nil {
		cfg.Store = mem.store
	}
	srv, err := server.New(cfg)
	if err != nil {
		return nil, nil, usageError(cmd, "%v", err)
	}
	var names []string
	for _, s := range chosen {
		m.Name = s.name
		if err := s.register(srv, mem.remembered(m)); err != nil {
			return nil, nil, usageError(cmd, "%v", err)
		}
		names = append(names, s.name)
	}
	return srv, names, nil
}

func methodSettings(cmd *cli.Command) (server.Method, error) {
	m := server.Method{
		Queue: server.Queue{Type: cmd.String("queue-type")}, Concurrency: cmd.Int("concurrency"),
	}
	if !slices.Contains([]string{server.Quorum, server.Classic, server.Existing}, m.Queue.Type) {
		return m, usageError(cmd, "--queue-type is %.60q; it must be quorum, classic or existing", m.Queue.Type)
	}
	err := within(cmd, "concurrency", m.Concurrency, 1, 10_000)
	if err == nil && cmd.IsSet("prefetch") {
		m.Prefetch = cmd.Int("prefetch")
		err = within(cmd, "prefetch", m.Prefetch, m.Concurrency, 65_535)
	}
	if err == nil {
		err = within(cmd, "connect-timeout", cmd.Duration("connect-timeout"), 0, 24*time.Hour)
	}
	if err == nil {
		err = within(cmd, "drain-timeout", cmd.Duration("drain-timeout"), 0, time.Hour)
	}
	return m, err
}

func chooseSamples(cmd *cli.Command, mem *memory) ([]sample, error) {
	all := samples()
	if mem != nil {
		all = append(all, mem.sample())
	}
	wanted := cmd.StringSlice("method")
	if len(wanted) == 0 {
		return all, nil
	}
	for _, name := range wanted {
		if !slices.ContainsFunc(all, func(s sample) bool { return s.name == name }) {
			return nil, usageError(cmd, "--method: there is no sample method %.60q", name)
		}
	}
	return slices.DeleteFunc(all, func(s sample) bool { return !slices.Contains(wanted, s.name) }), nil
}

// startError says whose fault it is that the server does not serve.
func startError(err error) error {
	var refusal *amqp.Error
	switch {
	case errors.As(err, &refusal) && (refusal.Code == amqp.NotFound || refusal.Code == amqp.PreconditionFailed ||
		refusal.Code == amqp.ResourceLocked):
		return exit(exitUsage, "%w", err)
	default:
		return exit(exitBroker, "%w", err)
	}
}

func announce(out *output, methods []string, queueType string, own *amqptest.Broker) error {
	var url string
	if own != nil {
		url = own.URL()
	}
	if out.json {
		return out.event(struct {
			Ready   bool     `json:"ready"`
			Methods []string `json:"methods"`
			URL     string   `json:"url,omitempty"` // of a broker of its own
		}{true, methods, url})
	}
	return out.printf("serving %s on %s queues\n", strings.Join(methods, ", "), queueType)
}
