package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/store"
)

const storeGetDescription = `Prints the record of one call: by its KEY, or by what keys are made of, which is the
method, the call ID and, where the server uses them, the namespace, the caller (if the
method keeps callers apart), the tenant (likewise) and the reply address (of callers
that are not Warren's).
With --proof it prints the note that a call which never came must not run.

If there is none, the exit code is 1, and --json prints its key with the state
"absent". A record may be past its retention. The body of the reply stands as in
warren call with --json; for people, one that cannot be printed is shown by its first
bytes.

Examples:
   warren store get orders.db --method orders.place --call-id order-4711
   warren store get orders.db --method rpc_queue --call-id 1 --reply-to amq.gen-x
   warren store get --json orders.db 0fd4…c2 | jq .reply.body`

func storeGetCommand() *cli.Command {
	return &cli.Command{
		Name:        "get",
		Usage:       "show the record of a call",
		ArgsUsage:   "STORE [KEY]",
		Description: storeGetDescription,
		Flags: storeCommandFlags(
			&cli.StringFlag{Name: "method", Usage: "`METHOD` of the call"},
			&cli.StringFlag{Name: "call-id", Usage: "`ID` of the call"},
			&cli.StringFlag{Name: "namespace", Usage: "the server's `NAMESPACE`"},
			&cli.StringFlag{Name: "caller", Usage: "the validated `CALLER`"},
			&cli.StringFlag{Name: "tenant", Usage: "the `TENANT` of the call"},
			&cli.StringFlag{Name: "reply-to", Usage: "`ADDRESS` of a plain caller's replies"},
			&cli.StringFlag{Name: "proof", Usage: "the `PROOF` by which warren resolve asked about a call that never came"},
		),
		Action: storeGet,
	}
}

func storeGet(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	at, args, err := storeArguments(cmd, 0, 1)
	if err != nil {
		return err
	}
	key, err := recordKey(cmd, args)
	if err != nil {
		return err
	}
	s, err := openStore(ctx, at)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // it was only read
	record, err := s.Get(ctx, key)
	if err != nil {
		return storeError(ctx, err)
	}
	if record.State == store.Absent {
		if !out.json {
			return exit(exitInternal, "there is no record %v", key)
		}
		err := out.object(struct {
			Key   string `json:"key"`
			State string `json:"state"`
		}{key.String(), record.State.String()})
		return firstError(err, &exitError{code: exitInternal})
	}
	if out.json {
		return out.object(newStoreRecord(&record))
	}
	return out.text(newStoreRecord(&record).text())
}

// recordKey reads the key from the command line.
func recordKey(cmd *cli.Command, args []string) (store.Key, error) {
	scope := store.Scope{
		Namespace: cmd.String("namespace"), Method: cmd.String("method"), CallID: cmd.String("call-id"),
		Caller: cmd.String("caller"), ReplyTo: cmd.String("reply-to"), Tenant: cmd.String("tenant"),
	}
	switch {
	case len(args) == 1 && (scope != store.Scope{} || cmd.IsSet("proof")):
		return store.Key{}, usageError(cmd, "give either a KEY or what it is made of")
	case len(args) == 1:
		key, err := store.ParseKey(args[0])
		if err != nil {
			return key, usageError(cmd, "%s", strings.TrimPrefix(err.Error(), "store: "))
		}
		return key, nil
	case scope.Method == "" || scope.CallID == "":
		return store.Key{}, usageError(cmd, "which call: give a KEY, or --method and --call-id")
	}
	if !cmd.IsSet("proof") {
		return scope.Key(), nil
	}
	proof, err := proofFlag(cmd)
	return scope.Key().Tombstone(store.ByProof(proof)), err
}

// text is what people read.
func (p *storeRecord) text() string {
	rows := newSheet()
	line := rows.field
	line("key", "%s", p.Key)
	line("method", "%s", p.Method)
	line("call ID", "%s", p.CallID)
	line("state", "%s", p.State)
	line("attempts", "%d", p.Attempts)
	line("token", "%d", p.Token)
	line("owner", "%s", p.Owner)
	line("created", "%s", p.Created.Format(time.RFC3339Nano))
	line("updated", "%s", p.Updated.Format(time.RFC3339Nano))
	line("expires", "%s", p.Expires.Format(time.RFC3339Nano))
	switch {
	case p.Retained == nil:
	case !*p.Retained:
		line("payload", "%s, too large to be kept, SHA-256 %s", count(p.Size, "byte"), p.Digest)
	case p.Error != nil:
		p.Error.lines(line)
	case p.Reply != nil:
		line("content type", "%s", p.Reply.ContentType)
		line("content encoding", "%s", p.Reply.ContentEncoding)
		for _, name := range slices.Sorted(maps.Keys(p.Reply.Headers)) {
			line("header "+name, "%s", p.Reply.Headers[name])
		}
		line("body", "%s", count(len(p.body), "byte"))
	default:
		line("payload", "%s that are no reply of Warren's", count(p.Size, "byte"))
	}
	return rows.String() + bodyText(append(p.body, p.Payload...))
}

func (e *storedError) lines(line func(name, format string, args ...any)) {
	line("code", "%v", e.Code)
	line("reason", "%s", e.Reason)
	line("outcome", "%v", e.Outcome)
	line("message", "%s", e.Message)
	if e.RetryAfterMS != 0 {
		line("retry after", "%v ms", e.RetryAfterMS)
	}
	line("incident", "%s", e.Incident)
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		line("detail "+name, "%s", e.Details[name])
	}
}
