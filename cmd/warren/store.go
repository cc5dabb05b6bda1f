package main

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/store"
)

const storeDescription = `A server with a store remembers there which calls it has begun, and how they ended.
These commands read a store, see to it, and make it the memory of methods in the place
of another.

STORE is one of
   orders.db                               a file, which one server has at a time
   postgres://user:password@host/database  tables of PostgreSQL, for any number of
                                           servers; ?schema=NAME, or else warren
   redis://user:password@host/0            keys of Redis, for any number of servers;
                                           ?prefix=NAME, or else warren
It is the first argument, or what --store, WARREN_STORE or the key store of the tool's
file says, in this order. A password is better kept in one of the last two, which
others on the machine cannot read; for PostgreSQL those of PGPASSWORD and ~/.pgpass do
too. Passwords are never shown.

A file must not be open: a server has it for as long as it runs, and cannot be started
while one of these commands runs. What a server was doing when it ended is
"interrupted" here. Other stores are read while servers use them; what these are at
work on is "in_progress". The user of the URL needs what a server needs.

The exit code is 1 for a store that is missing, open elsewhere, damaged, of a later
version, or not a store, and for a database that cannot be reached.

Examples:
   warren store stats orders.db
   warren store stats 'postgres://shop@db/shop?schema=orders'
   warren store migrate --store postgres://owner@db/shop --role shop
   warren store get orders.db --method orders.place --call-id order-4711
   warren store check orders.db
   warren store compact orders.db
   warren store export orders.db --state failed | jq .error
   warren store adopt orders.db orders.place`

func storeCommand() *cli.Command {
	return commandGroup("store", "look into a store of calls, see to it, give methods to it", storeDescription,
		storeStatsCommand(), storeGetCommand(), storeCheckCommand(), storeCompactCommand(), storeExportCommand(), storeSweepCommand(), storeMigrateCommand(), storeAdoptCommand())
}

// openStore opens a store for reading. The error is an exitError.
func openStore(ctx context.Context, at storeLocation) (inspector, error) {
	opening, cancel := context.WithTimeout(ctx, openingTimeout)
	defer cancel()
	s, err := at.inspect(opening)
	if err != nil {
		return nil, storeError(ctx, err)
	}
	return s, nil
}

// openingTimeout bounds the first answer of a database.
const openingTimeout = 15 * time.Second

// storeError ends a command about a store: nil if err is.
func storeError(ctx context.Context, err error) error {
	var ended *exitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ended):
		return err
	case ctx.Err() != nil:
		return interrupted()
	}
	return exit(exitInternal, "%w", err)
}

// storeRecord is what is printed of a record.
type storeRecord struct {
	Key      string    `json:"key"`
	Method   string    `json:"method"`
	CallID   string    `json:"call_id"`
	State    string    `json:"state"`
	Attempts int       `json:"attempts"`
	Token    uint64    `json:"token"`
	Owner    string    `json:"owner"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Expires  time.Time `json:"expires"`
	// The rest is there once the call has ended.
	Size     int          `json:"size,omitempty"`
	Digest   string       `json:"digest,omitempty"`
	Retained *bool        `json:"retained,omitempty"`
	Reply    *storedReply `json:"reply,omitempty"`
	Error    *storedError `json:"error,omitempty"`
	// Payload is what is neither a reply nor an error.
	Payload []byte `json:"payload_base64,omitempty"`

	body []byte // of the reply
}

// storedReply is a reply in a record. Its body stands as `warren call` prints it.
type storedReply struct {
	ContentType     string        `json:"content_type,omitempty"`
	ContentEncoding string        `json:"content_encoding,omitempty"`
	Headers         warren.Header `json:"headers,omitempty"`
	Body            any           `json:"body,omitempty"`
	BodyBase64      []byte        `json:"body_base64,omitempty"`
}

// storedError is an error in a record, or of a call that was resolved.
type storedError struct {
	Code         warren.Code       `json:"code"`
	Reason       string            `json:"reason"`
	Outcome      warren.Outcome    `json:"outcome"`
	Message      string            `json:"message"`
	RetryAfterMS float64           `json:"retry_after_ms,omitempty"`
	Incident     string            `json:"incident,omitempty"`
	Details      map[string]string `json:"details,omitempty"`
}

func newStoredReply(r *warren.Reply) *storedReply {
	body := newCallResult(r, 0)
	return &storedReply{
		ContentType: r.ContentType, ContentEncoding: r.ContentEncoding, Headers: r.Header,
		Body: body.Body, BodyBase64: body.BodyBase64,
	}
}

func newStoredError(e *warren.Error) *storedError {
	return &storedError{
		Code: e.Code, Reason: e.Reason, Outcome: e.Outcome, Message: e.Message,
		RetryAfterMS: milliseconds(e.RetryAfter), Incident: e.Incident, Details: e.Details,
	}
}

func newStoreRecord(r *store.Record) *storeRecord {
	p := &storeRecord{
		Key: r.Key.String(), Method: r.Method, CallID: r.CallID, State: r.State.String(), Attempts: r.Attempts,
		Token: r.Token, Owner: r.Owner, Created: r.Created, Updated: r.Updated, Expires: r.Expires,
	}
	if !r.State.Ended() {
		return p
	}
	p.Size, p.Digest, p.Retained = r.Size, hex.EncodeToString(r.Digest[:]), &r.Retained
	if !r.Retained {
		return p
	}
	reply, e, err := wire.DecodeStored(r.Payload)
	switch {
	case err != nil:
		p.Payload = r.Payload
	case e != nil:
		p.Error = newStoredError(e)
	default:
		p.Reply, p.body = newStoredReply(reply), reply.Body
	}
	return p
}
