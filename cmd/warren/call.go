package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/printable"
	"github.com/warren-rpc/warren/internal/wire"
)

const callDescription = `Calls METHOD with BODY, or with what standard input holds if BODY is "-", and
prints the body of the reply as it is. The timeout covers everything, connecting
included. A server of the plain recipe is called in the same way.

With --json the result or the error is printed as one object. Its body is the
JSON value itself if the reply says that it is JSON, a string if it is text, and
else stands in body_base64. On a terminal, JSON is laid out, and coloured unless
NO_COLOR is set, and a body that cannot be printed is shown by its bytes.

The exit code is 0 for a reply, 3 if the deadline passed, 4 if there is no queue or no
server, 5 for an error from the server, 6 if no broker can be used, and 2 if the
request itself is wrong. Errors are one line; a terminal shows what to do next on
another.

Examples:
   warren call rpc_queue 30
   warren call --timeout 2s --json users.email 4
   warren call orders.create - --content-type application/json <order.json
   warren call --idempotent --attempts 5 --header tenant=7 sample.echo hello
   warren call -- sample.echo --a-body-that-begins-with-a-dash`

// longestTimeout is what the client allows.
const longestTimeout = 24 * time.Hour

func callCommand() *cli.Command {
	return &cli.Command{
		Name:        "call",
		Usage:       "call a method",
		ArgsUsage:   "METHOD [BODY|-]",
		Description: callDescription,
		// Headers may hold commas.
		DisableSliceFlagSeparator: true,
		Flags: connectionFlags(defaultURL,
			timeoutFlag(),
			&cli.StringFlag{Name: "id", Usage: "call `ID`: a key of your own that names the call", DefaultText: "a random UUID"},
			&cli.BoolFlag{Name: "idempotent", Usage: "the handler may run more than once: send again what may have been lost"},
			&cli.IntFlag{Name: "attempts", Value: 3, Usage: "how often an idempotent call is sent in all, 1 to 5"},
			&cli.StringSliceFlag{Name: "header", Aliases: []string{"H"}, Usage: "application header `K=V`; may be repeated"},
			&cli.StringFlag{Name: "content-type", Usage: "content `TYPE` of the body"},
			&cli.BoolFlag{Name: "wait", Usage: "wait for a server if none is running"},
			userIDFlag(),
		),
		Action: call,
	}
}

func call(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	settings, err := brokerSettings(cmd)
	if err != nil {
		return err
	}
	req, opts, err := callRequest(cmd)
	if err != nil {
		return err
	}
	timeout := cmd.Duration("timeout")
	began := time.Now()
	ctx, cancel := context.WithDeadline(ctx, began.Add(timeout))
	defer cancel()

	var reply *warren.Reply
	c, disconnect, err := connect(ctx, cmd, out, settings)
	if err == nil {
		defer disconnect()
		began = time.Now()
		reply, err = c.Call(ctx, req.Method, req.Body, append(opts, client.WithTimeout(timeout))...)
	}
	took := time.Since(began)
	if err != nil {
		e, ok := warren.AsError(err)
		if !ok {
			return err
		}
		e.Method, e.CallID = req.Method, req.CallID
		return printCallError(out, e, took)
	}
	return printReply(out, reply, took)
}

// callRequest reads the request from the command line, and from standard input
// if that is told to. It is checked before anything is connected.
func callRequest(cmd *cli.Command) (*warren.Request, []client.CallOption, error) {
	args, err := arguments(cmd, 1, 2)
	if err != nil {
		return nil, nil, err
	}
	if err := within(cmd, "timeout", cmd.Duration("timeout"), time.Millisecond, longestTimeout); err != nil {
		return nil, nil, err
	}
	if err := within(cmd, "attempts", cmd.Int("attempts"), 1, 5); err != nil {
		return nil, nil, err
	}
	req := &warren.Request{
		Method: args[0], CallID: cmd.String("id"), Attempt: 1, ContentType: cmd.String("content-type"),
	}
	if !cmd.IsSet("id") {
		req.CallID = uuid.NewString()
	}
	opts := []client.CallOption{
		client.WithCallID(req.CallID), client.WithContentType(req.ContentType), client.WithAttempts(cmd.Int("attempts")),
	}
	if req.Header, err = headerFlag(cmd); err != nil {
		return nil, nil, err
	}
	for key, value := range req.Header {
		opts = append(opts, client.WithHeader(key, value))
	}
	if cmd.Bool("idempotent") {
		opts = append(opts, client.Idempotent())
	}
	if cmd.Bool("wait") {
		opts = append(opts, client.WaitForServer())
	}
	limits := wire.DefaultLimits()
	if len(args) == 2 {
		if req.Body, err = callBody(cmd, args[1], limits.Body); err != nil {
			return nil, nil, err
		}
	}
	if req.CallID == "" {
		return nil, nil, usageError(cmd, "--id is empty")
	}
	wrong := wire.CheckRequest(req, limits)
	if wrong == nil {
		_, wrong = wire.EncodeRequest(&wire.Request{Request: *req}, wire.Transient, limits)
	}
	if wrong != nil {
		return nil, nil, usageError(cmd, "%s", wrong.Message)
	}
	return req, opts, nil
}

// headerFlag reads --header.
func headerFlag(cmd *cli.Command) (warren.Header, error) {
	header := warren.Header{}
	for _, pair := range cmd.StringSlice("header") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, usageError(cmd, "--header %.60q is not of the form K=V", pair)
		}
		if _, again := header[key]; again {
			return nil, usageError(cmd, "--header %.60q is given twice, and a header has one value", key)
		}
		header[key] = value
	}
	return header, nil
}

func callBody(cmd *cli.Command, arg string, most int) ([]byte, error) {
	if arg != "-" {
		return []byte(arg), nil
	}
	body, err := io.ReadAll(io.LimitReader(cmd.Root().Reader, int64(most)+1))
	if err != nil {
		return nil, exit(exitInternal, "cannot read standard input: %w", err)
	}
	if len(body) > most {
		return nil, exit(exitUsage, "standard input holds more than the %d bytes that a body may have", most)
	}
	return body, nil
}

func printCallError(out *output, e *warren.Error, took time.Duration) error {
	if !out.json {
		err := error(&exitError{callExitCode(e), e})
		if !out.quiet {
			err = advise(err, callAdvice(e))
		}
		return err
	}
	told := *e
	told.Message = out.stderr.hide(e.Message)
	if err := out.object(newCallFailure(&told, took)); err != nil {
		return err
	}
	return &exitError{code: callExitCode(e)}
}

func printReply(out *output, reply *warren.Reply, took time.Duration) error {
	if out.json {
		return out.object(newCallResult(reply, took))
	}
	var err error
	if !isTerminal(out.stdout) {
		_, err = out.stdout.raw.Write(reply.Body)
		return written(err)
	}
	if _, err = io.WriteString(out.stdout.raw, shownBody(out, reply)+"\n"); err != nil {
		return written(err)
	}
	if !isTerminal(out.stderr) {
		return nil
	}
	text := fmt.Sprintf("answered after %v ms", milliseconds(took))
	if reply.Attempts > 1 {
		text += fmt.Sprintf(", by attempt %d", reply.Attempts)
	}
	if reply.Replayed {
		text += "; it ran before, and this is the reply that was kept"
	}
	out.note("%s", text)
	return nil
}

// shownBody is the body of a reply as a terminal shows it, and does nothing else.
func shownBody(out *output, reply *warren.Reply) string {
	body := bytes.ReplaceAll(reply.Body, []byte("\r\n"), []byte("\n"))
	if !printable.Is(string(body)) {
		out.note("the body is not text; as it is it goes into a file or a pipe, or stands in --json")
		return strings.Trim(bodyText(body), "\n")
	}
	if text := bytes.TrimSpace(body); hasColour(out.stdout) && (isJSON(reply.ContentType) || bytes.IndexAny(text, "{[") == 0) {
		if pretty, ok := prettyJSON(text); ok {
			return pretty
		}
	}
	return strings.TrimSuffix(string(body), "\n")
}
