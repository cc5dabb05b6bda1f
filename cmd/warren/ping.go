package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
)

const pingDescription = `Prints how many servers consume METHOD's queue, without sending it anything.
The exit code is 4 if there is none, or no such queue. A server that was cut off
is counted until the broker notices.

Examples:
   warren ping rpc_queue
   warren ping --json --timeout 1s orders.create
   until warren ping --quiet orders.create; do sleep 1; done`

func pingCommand() *cli.Command {
	return &cli.Command{
		Name:        "ping",
		Usage:       "count the servers behind a method",
		ArgsUsage:   "METHOD",
		Description: pingDescription,
		Flags:       connectionFlags(defaultURL, timeoutFlag()),
		Action:      ping,
	}
}

// pingResult is what `warren ping --json` prints.
type pingResult struct {
	Method  string  `json:"method"`
	Servers int     `json:"servers"`
	MS      float64 `json:"ms"`
	// Reason is no_route or no_server if there is none.
	Reason string `json:"reason,omitempty"`
}

func ping(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	settings, err := brokerSettings(cmd)
	if err != nil {
		return err
	}
	args, err := arguments(cmd, 1, 1)
	if err != nil {
		return err
	}
	r := pingResult{Method: args[0]}
	if err := warren.CheckMethod(r.Method); err != nil {
		return usageError(cmd, "%v", err)
	}
	timeout := cmd.Duration("timeout")
	if err := within(cmd, "timeout", timeout, time.Millisecond, longestTimeout); err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, disconnect, err := connect(ctx, cmd, out, settings)
	if err == nil {
		defer disconnect()
		began = time.Now()
		r.Servers, err = c.Ping(ctx, r.Method)
	}
	r.MS = milliseconds(time.Since(began))
	if e, ok := warren.AsError(err); ok && e.Reason == warren.ReasonNoRoute {
		r.Reason, err = e.Reason, nil
	} else if err == nil && r.Servers == 0 {
		r.Reason = warren.ReasonNoServer
	}
	if err != nil {
		return pingError(out, r.Method, err, time.Since(began))
	}
	return printPing(out, r)
}

// pingError is told as that of a call: the number of servers is not known.
func pingError(out *output, method string, err error, took time.Duration) error {
	e, ok := warren.AsError(err)
	if !ok {
		return err
	}
	e.Method = method
	return printCallError(out, e, took)
}

func printPing(out *output, r pingResult) error {
	var err error
	switch {
	case out.json:
		err = out.object(r)
	default:
		err = out.printf("%s: %s (%v ms)\n", r.Method, pingText(out, r), r.MS)
	}
	if err != nil || r.Servers > 0 {
		return err
	}
	err = &exitError{code: exitNoServer}
	if out.json || out.quiet {
		return err
	}
	return advise(err, callAdvice(&warren.Error{Method: r.Method, Reason: r.Reason}))
}

// pingText is how many servers there are, for people.
func pingText(out *output, r pingResult) painted {
	p := painted{green, count(r.Servers, "server")}
	if r.Servers == 0 {
		p.colour = red
	}
	if r.Reason == warren.ReasonNoRoute {
		p.text = "no server, and no queue of that name"
	}
	if !hasColour(out.stdout) {
		p.colour = ""
	}
	return p
}
