package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
)

const defaultURL = "amqp://guest:guest@localhost:5672/" //nolint:gosec // what every RabbitMQ has, for its own machine alone

// urlFlags are the flags of commands that only know the broker's address.
// withoutURL says what happens if none is given.
func urlFlags(withoutURL string) []cli.Flag {
	file := &configFile{}
	return withSources(file, append([]cli.Flag{configFlag(file), urlFlag(withoutURL)}, outputFlags()...))
}

// connectionFlags are the flags of commands that talk to a broker, after their own.
func connectionFlags(withoutURL string, own ...cli.Flag) []cli.Flag {
	file := &configFile{}
	return withSources(file, slices.Concat(own, []cli.Flag{configFlag(file)}, addressFlags(withoutURL), outputFlags()))
}

// brokerFlags are connectionFlags for a command that has another --config.
func brokerFlags(withoutURL string, own ...cli.Flag) []cli.Flag {
	return withSources(&configFile{}, slices.Concat(own, addressFlags(withoutURL), outputFlags()))
}

func configFlag(file *configFile) cli.Flag {
	return &cli.StringFlag{
		Name: "config", Sources: cli.EnvVars(configVariable), Destination: &file.named, TakesFile: true,
		Usage: "`FILE` of what the other flags do not say; see warren config", DefaultText: "~/.config/warren/config.yaml",
	}
}

func urlFlag(withoutURL string) cli.Flag {
	return &cli.StringSliceFlag{
		Name: "url", DefaultText: withoutURL,
		Usage: "`URL` of the broker, amqp://user:password@host:port/vhost or amqps; of a cluster, several separated by commas",
	}
}

func addressFlags(withoutURL string) []cli.Flag {
	return []cli.Flag{
		urlFlag(withoutURL),
		&cli.StringFlag{
			Name: "broker-auth", Value: authPlain,
			Usage: "plain: user and password of the URL; external: the certificate of --broker-cert",
		},
		&cli.StringFlag{Name: "broker-ca", TakesFile: true, Usage: "amqps: trust the certificates in `FILE`, PEM", DefaultText: "those of the system"},
		&cli.StringFlag{Name: "broker-cert", TakesFile: true, Usage: "amqps: `FILE` of the certificate to show to the broker, PEM"},
		&cli.StringFlag{Name: "broker-key", TakesFile: true, Usage: "amqps: `FILE` of that certificate's key, PEM"},
		&cli.StringFlag{Name: "broker-server-name", Usage: "amqps: the `HOST` that the broker's certificate must be for", DefaultText: "that of the URL"},
	}
}

// timeoutFlag is that of commands that wait for an answer.
func timeoutFlag() cli.Flag {
	return &cli.DurationFlag{
		Name: "timeout", Aliases: []string{"t"}, Value: 10 * time.Second, Usage: "how long to wait for the answer, 1ms to 24h",
	}
}

func userIDFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "user-id", Usage: "have the broker vouch to the server for this `USER`, who must be that of the URL",
	}
}

// brokerURLs returns what --url, WARREN_URL and the tool's file say, checked;
// nothing if none of them is given.
func brokerURLs(cmd *cli.Command) ([]string, error) {
	if err := checkSettingsFile(cmd); err != nil {
		return nil, err
	}
	var list []string
	for _, value := range cmd.StringSlice("url") {
		for raw := range strings.SplitSeq(value, ",") {
			list = append(list, strings.TrimSpace(raw))
		}
	}
	for i, raw := range list {
		if wrong := wrongURL(raw); wrong != "" {
			which := "the broker's URL"
			if len(list) > 1 {
				which = fmt.Sprintf("broker URL %d of %d", i+1, len(list))
			}
			return nil, usageError(cmd, "%s: %s", which, wrong)
		}
	}
	return list, nil
}

// brokerSettings is for commands that use the machine's broker unless told
// otherwise.
func brokerSettings(cmd *cli.Command) (warren.Broker, error) {
	settings, err := namedBroker(cmd)
	if len(settings.URLs) == 0 {
		settings.URLs = []string{defaultURL}
	}
	return settings, err
}

// namedBroker returns what the command was told of the broker; there may be no URL.
func namedBroker(cmd *cli.Command) (warren.Broker, error) {
	list, err := brokerURLs(cmd)
	if err != nil {
		return warren.Broker{}, err
	}
	b := warren.Broker{URLs: list, Name: "warren " + cmd.Name}
	if b.TLS, err = brokerTLS(cmd); err != nil {
		return b, err
	}
	switch auth := cmd.String("broker-auth"); auth {
	case authPlain, "":
	case authExternal:
		b.Auth = warren.AuthExternal
	default:
		return b, usageError(cmd, "--broker-auth is %.60q; it must be plain or external", auth)
	}
	if len(list) > 0 {
		if err := b.Validate(); err != nil {
			return b, usageError(cmd, "%s", strings.TrimPrefix(err.Error(), "warren: "))
		}
	}
	return b, nil
}

// The values of --broker-auth.
const (
	authPlain    = "plain"
	authExternal = "external"
)

// brokerTLS returns nil if nothing is said of TLS.
func brokerTLS(cmd *cli.Command) (*tls.Config, error) {
	ca, cert, key, name := cmd.String("broker-ca"), cmd.String("broker-cert"), cmd.String("broker-key"), cmd.String("broker-server-name")
	if ca == "" && cert == "" && key == "" && name == "" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name}
	if ca != "" {
		text, err := os.ReadFile(ca) //nolint:gosec // the path is the user's
		if err != nil {
			return nil, exit(exitUsage, "--broker-ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(text) {
			return nil, exit(exitUsage, "--broker-ca: %s has no certificate in PEM", ca)
		}
	}
	if (cert == "") != (key == "") {
		return nil, usageError(cmd, "--broker-cert and --broker-key go together")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, exit(exitUsage, "--broker-cert: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// connectPatience is how long a command connects in silence.
const connectPatience = time.Second

// connect returns a client that is connected, and what closes it. The error is
// a *warren.Error, or an exitError.
func connect(ctx context.Context, cmd *cli.Command, out *output, settings warren.Broker) (*client.Client, func(), error) {
	c, err := client.New(client.Config{
		Broker: settings,
		Caller: "warren " + cmd.Name,
		UserID: cmd.String("user-id"),
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
