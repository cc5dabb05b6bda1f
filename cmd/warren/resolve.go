package main

import (
	"context"
	"strconv"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
)

const resolveDescription = `Asks the servers of METHOD what became of the call with that ID, and keeps it from
ever running if it neither runs nor has ended. Prints its state:
   completed     it was answered; the reply follows
   failed        it ended with an error that will not change; the error follows
   in_progress   it runs; ask again later
   canceled      it will never run from here on
and its outcome, which is whether the handler ran: executed, not_executed or unknown.
That of a canceled call can be proven not_executed only if --issued tells when the
call was made. It stands with the error of the call, in the caller's clock.

Nothing is told, and nothing kept from running, without proof that you know the call:
--proof, which stands with the error of the call too, or what was sent, as it was given
to warren call.

The servers must have a store; the exit code is 4 if none has. It is 0 for each
state. The question may be asked again.

Examples:
   warren resolve --body '{"id":4711}' --content-type application/json orders.place order-4711
   warren resolve --json --issued 2026-01-02T03:04:05.678Z --body - orders.place order-4711 < request
   warren resolve --issued 1767323045678 --proof c1ce1f8e7d50bbd0b1f0e1dba4b12a37 orders.place order-4711`

func resolveCommand() *cli.Command {
	return &cli.Command{
		Name:        "resolve",
		Usage:       "learn what became of a call, or keep it from running",
		ArgsUsage:   "METHOD CALL_ID",
		Description: resolveDescription,
		// Headers may hold commas.
		DisableSliceFlagSeparator: true,
		Flags: connectionFlags(defaultURL,
			&cli.StringFlag{Name: "issued", Usage: "when the call was made: `TIME` in RFC 3339, or in Unix milliseconds", DefaultText: "unknown"},
			&cli.StringSliceFlag{Name: "header", Aliases: []string{"H"}, Usage: "header `K=V` that says the tenant of the call; may be repeated"},
			&cli.StringFlag{Name: "proof", Usage: "the `PROOF` of the call: 32 hexadecimal digits"},
			&cli.StringFlag{Name: "body", Usage: "the `BODY` of the call, or - for standard input", DefaultText: "empty"},
			&cli.StringFlag{Name: "content-type", Usage: "the `TYPE` of that body", DefaultText: "none"},
			&cli.StringFlag{Name: "content-encoding", Usage: "the `ENCODING` of that body", DefaultText: "none"},
			timeoutFlag(), userIDFlag(),
		),
		Action: resolve,
	}
}

// resolveResult is what `warren resolve --json` prints. The body stands as in
// callResult.
type resolveResult struct {
	State   client.ResolutionState `json:"state"`
	Outcome warren.Outcome         `json:"outcome"`
	// Retained is there if the call has ended: whether its reply or error is known.
	Retained   *bool        `json:"retained,omitempty"`
	Body       any          `json:"body,omitempty"`
	BodyBase64 []byte       `json:"body_base64,omitempty"`
	Error      *storedError `json:"error,omitempty"`
	CallID     string       `json:"call_id"`
	MS         float64      `json:"ms"`
}

func resolve(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	settings, err := brokerSettings(cmd)
	if err != nil {
		return err
	}
	args, err := arguments(cmd, 2, 2)
	if err != nil {
		return err
	}
	method, callID := args[0], args[1]
	if err := firstError(warren.CheckMethod(method), warren.CheckCallID(callID)); err != nil {
		return usageError(cmd, "%v", err)
	}
	issued, err := issuedFlag(cmd)
	if err != nil {
		return err
	}
	proof, err := proofFlags(cmd)
	if err != nil {
		return err
	}
	header, err := headerFlag(cmd)
	if err != nil {
		return err
	}
	opts := []client.ResolveOption{client.IssuedAt(issued), client.Proven(proof), client.ResolveTimeout(cmd.Duration("timeout"))}
	for key, value := range header {
		opts = append(opts, client.ResolveHeader(key, value))
	}
	timeout := cmd.Duration("timeout")
	if err := within(cmd, "timeout", timeout, time.Millisecond, longestTimeout); err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithDeadline(ctx, began.Add(timeout))
	defer cancel()
	var r *client.Resolution
	c, disconnect, err := connect(ctx, cmd, out, settings)
	if err == nil {
		defer disconnect()
		began = time.Now()
		r, err = c.Resolve(ctx, method, callID, opts...)
	}
	took := time.Since(began)
	if err != nil {
		e, ok := warren.AsError(err)
		if !ok {
			return err
		}
		e.Method, e.CallID = method, callID
		return printCallError(out, e, took)
	}
	if out.json {
		return out.object(newResolveResult(r, callID, took))
	}
	return out.text(resolutionText(r))
}

// lastMillis is the end of the year 9999, the last instant that a request can name.
const lastMillis = 253402300799999

// issuedFlag reads --issued; the zero time if it is not given.
func issuedFlag(cmd *cli.Command) (time.Time, error) {
	text := cmd.String("issued")
	if !cmd.IsSet("issued") {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if ms, failed := strconv.ParseInt(text, 10, 64); failed == nil {
		at, err = time.UnixMilli(ms), nil
	}
	if ms := at.UnixMilli(); err != nil || ms < 1 || ms > lastMillis {
		return time.Time{}, usageError(cmd, "--issued %.60q is no time in RFC 3339, nor in Unix milliseconds", text)
	}
	return at, nil
}

// proofFlags reads the proof, or what it is made of.
func proofFlags(cmd *cli.Command) (warren.Proof, error) {
	if !cmd.IsSet("proof") {
		body, err := callBody(cmd, cmd.String("body"), wire.DefaultLimits().Body)
		return warren.ProofOf(cmd.String("content-type"), cmd.String("content-encoding"), body), err
	}
	if cmd.IsSet("body") {
		return warren.Proof{}, usageError(cmd, "--proof and --body exclude one another")
	}
	return proofFlag(cmd)
}

// proofFlag reads --proof.
func proofFlag(cmd *cli.Command) (warren.Proof, error) {
	proof, err := warren.ParseProof(cmd.String("proof"))
	if err != nil {
		return warren.Proof{}, usageError(cmd, "--proof %.60q is no proof: it has 32 hexadecimal digits", cmd.String("proof"))
	}
	return proof, nil
}

func newResolveResult(r *client.Resolution, callID string, took time.Duration) *resolveResult {
	result := &resolveResult{State: r.State, Outcome: r.Outcome, CallID: callID, MS: milliseconds(took)}
	if r.State == client.Completed || r.State == client.Failed {
		result.Retained = &r.Retained
	}
	if r.Reply != nil {
		body := newCallResult(r.Reply, 0)
		result.Body, result.BodyBase64 = body.Body, body.BodyBase64
	}
	if r.Err != nil {
		result.Error = newStoredError(r.Err)
	}
	return result
}

// resolutionText is what people read.
func resolutionText(r *client.Resolution) string {
	text := string(r.State) + ", " + r.Outcome.String()
	switch {
	case r.Reply != nil:
		return text + "\n" + bodyText(r.Reply.Body)
	case r.Err != nil:
		return text + ": " + oneLine(r.Err.Error()) + "\n"
	case r.State == client.InProgress:
		return text + ": it runs; ask again later\n"
	case r.State == client.Canceled:
		return text + ": it will never run from here on\n"
	default:
		return text + ": what it ended with was too large to keep\n"
	}
}
