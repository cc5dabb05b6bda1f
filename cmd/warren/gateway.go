package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/client/gateway/gatewayfile"
	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/reliability/policyfile"
)

const gatewayDescription = `Answers HTTP requests by calling methods, as the file says: which method and path
becomes a call of what, with which parameters, headers and limits. docs/gateway.md
has the mapping, docs/examples/gateway.yaml is a file to copy.

The port answers as soon as it is open: /healthz with 200, /readyz with 503 until the
broker is there, which is then printed: "ready". If it is not there within
--connect-timeout, the exit code is 6.

It serves until SIGINT or SIGTERM. Then /readyz says so, no more connections are
accepted, requests at work are answered, and it exits with 0; a second signal ends
it at once. The access log goes to standard error, one line for each request.

With --policies the client's policies are those of that file, which is read again
when it changes, and on SIGHUP: retries, breakers, timeouts. Without, SIGHUP does
nothing.

--config is the file of the routes. How the broker is reached is said by the other
flags, their variables, or the file of WARREN_CONFIG, else
~/.config/warren/config.yaml: see warren config.

Examples:
   warren gateway --config docs/examples/gateway.yaml
   warren gateway --config gateway.yaml --listen :8443 --tls-cert cert.pem --tls-key key.pem
   warren gateway --config gateway.yaml --policies policy.yaml --quiet --json`

func gatewayCommand() *cli.Command {
	return &cli.Command{
		Name:        "gateway",
		Usage:       "answer HTTP requests by calling methods",
		Description: gatewayDescription,
		Flags: brokerFlags(defaultURL,
			&cli.StringFlag{Name: "config", Usage: "`FILE` of the routes, YAML or JSON; - is standard input"},
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:8080", Usage: "`ADDRESS` to accept connections on, host:port; port 0 is any that is free"},
			&cli.StringFlag{Name: "tls-cert", Usage: "`FILE` of the certificate, PEM; HTTPS and HTTP/2 are spoken then"},
			&cli.StringFlag{Name: "tls-key", Usage: "`FILE` of the certificate's key, PEM"},
			&cli.StringFlag{Name: "policies", Usage: "`FILE` of policies; see warren policy"},
			userIDFlag(),
			&cli.DurationFlag{Name: "connect-timeout", Value: 10 * time.Second, Usage: "how long to try to connect at the start; 0 is for ever"},
		),
		Action: runGateway,
	}
}

func runGateway(ctx context.Context, cmd *cli.Command) error {
	// Where there is a file of policies, its watcher obeys too.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	out := newOutput(cmd)
	file, policies, err := gatewaySettings(cmd, out)
	if err != nil {
		return err
	}
	settings, err := brokerSettings(cmd)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cmd.String("listen"))
	if err != nil {
		return exit(exitUsage, "--listen: %w", err)
	}
	defer l.Close()
	c, err := client.New(client.Config{
		Broker: settings, Caller: "warren gateway", UserID: cmd.String("user-id"), Logger: out.logger(), Policies: policies,
		MaxPending: 1_000_000, MaxPendingBytes: 1 << 30, // the most that the gateway's own bounds can be
	})
	if err != nil {
		return usageError(cmd, "%v", err)
	}
	defer closeSoon(c)
	g, err := gateway.New(c, file.Gateway)
	if err != nil {
		return exit(exitUsage, "%w", err) // no file that was read has such a mistake
	}
	watching := watchPolicies(ctx, cmd, out, c)
	defer watching()
	serving, end := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() {
		defer end()
		served <- gateway.Serve(ctx, l, g, file.Server)
	}()
	out.note("listening at %s", gatewayURL(file, l))
	err = awaitBroker(serving, cmd, c)
	if err == nil {
		err = announceGateway(out, file, l)
	}
	if err != nil && serving.Err() == nil { // else it was told to stop, or cannot accept
		return err
	}
	if err := <-served; err != nil {
		return exit(exitInternal, "%w", err)
	}
	return nil
}

// gatewaySettings reads what the command line names.
func gatewaySettings(cmd *cli.Command, out *output) (file gatewayfile.File, policies reliability.Rules, err error) {
	if _, err := arguments(cmd, 0, 0); err != nil {
		return file, policies, err
	}
	path := cmd.String("config")
	if path == "" {
		return file, policies, usageError(cmd, "--config is missing: the file of the routes")
	}
	if err := within(cmd, "connect-timeout", cmd.Duration("connect-timeout"), 0, 24*time.Hour); err != nil {
		return file, policies, err
	}
	if file, err = readRoutes(cmd, path); err != nil {
		return file, policies, fileError(err)
	}
	if file.Tokens != "" {
		subjects, err := gatewayfile.LoadTokens(beside(path, file.Tokens))
		if err != nil {
			return file, policies, fileError(err)
		}
		file.Gateway.Authenticate = gateway.BearerTokens(subjects)
	}
	if file.KeySecret != "" {
		if file.Gateway.KeySecret, err = gatewayfile.LoadSecret(beside(path, file.KeySecret)); err != nil {
			return file, policies, fileError(err)
		}
	}
	if path := cmd.String("policies"); path != "" {
		if path == "-" {
			return file, policies, usageError(cmd, "--policies must be a file, which is read again when it changes")
		}
		loaded, _, err := loadPolicies(cmd, path)
		if err != nil {
			return file, policies, err
		}
		policies = loaded.Rules
	}
	if !out.quiet {
		file.Gateway.AccessLog = out.logger()
	}
	file.Gateway.Logger, file.Server.Logger = out.logger(), out.logger()
	file.Server.TLS, err = gatewayTLS(cmd)
	return file, policies, err
}

// beside returns the path of a file that another file names.
func beside(file, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}

// readRoutes reads a file, or standard input if it is called "-".
func readRoutes(cmd *cli.Command, path string) (gatewayfile.File, error) {
	if path != "-" {
		return gatewayfile.Load(path)
	}
	data, err := configfile.ReadFrom(cmd.Root().Reader)
	if err != nil {
		return gatewayfile.File{}, err
	}
	return gatewayfile.Parse(stdinName, data)
}

// fileError takes the package's name from errors about files.
func fileError(err error) error {
	var refused *gatewayfile.Error
	if inner := errors.Unwrap(err); inner != nil && !errors.As(err, &refused) {
		err = inner
	}
	return exit(exitUsage, "%w", err)
}

func gatewayTLS(cmd *cli.Command) (*tls.Config, error) {
	cert, key := cmd.String("tls-cert"), cmd.String("tls-key")
	switch {
	case cert == "" && key == "":
		return nil, nil
	case cert == "" || key == "":
		return nil, usageError(cmd, "--tls-cert and --tls-key go together")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, exit(exitUsage, "--tls-cert: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// awaitBroker waits until the client is connected.
func awaitBroker(ctx context.Context, cmd *cli.Command, c *client.Client) error {
	first, cancel := ctx, context.CancelFunc(func() {})
	if patience := cmd.Duration("connect-timeout"); patience > 0 {
		first, cancel = context.WithTimeout(ctx, patience)
	}
	defer cancel()
	if err := c.Ready(first); err != nil {
		return exit(exitBroker, "%s", message(err))
	}
	return nil
}

func announceGateway(out *output, file gatewayfile.File, l net.Listener) error {
	if out.json {
		return out.event(struct {
			Ready  bool   `json:"ready"`
			Listen string `json:"listen"`
		}{true, l.Addr().String()})
	}
	return out.printf("serving %d routes at %s\n", len(file.Gateway.Routes), gatewayURL(file, l))
}

func gatewayURL(file gatewayfile.File, l net.Listener) string {
	if file.Server.TLS != nil {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// watchPolicies has the client's policies follow their file, until the function that
// it returns is called.
func watchPolicies(ctx context.Context, cmd *cli.Command, out *output, c *client.Client) (stop func()) {
	path := cmd.String("policies")
	if path == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	w := policyfile.Watcher{Path: path, Hangup: true, Apply: c.SetPolicies, OnError: func(err error) {
		out.note("the policies stay as they were: %v", unprefixed(err))
	}}
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}
