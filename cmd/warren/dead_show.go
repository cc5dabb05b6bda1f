package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/printable"
	"github.com/warren-rpc/warren/internal/wire"
)

const deadShowDescription = `Prints all that is known of a parked call: why it is parked, its properties, its
headers, its body. It stays parked. Several calls of one ID are printed one after
the other, the oldest first. A call without an ID is named by '' here.

With --json the body stands as in warren call: a JSON value, a string, or
body_base64. For people, a body that cannot be printed is shown by its first bytes.

Examples:
   warren dead show orders.place 4f1c2d6e-97a3-4b52-8f0e-2a4d6c1b9e35
   warren dead show --json orders.place order-4711 | jq .body`

func deadShowCommand() *cli.Command {
	return &cli.Command{
		Name:        "show",
		Usage:       "show a parked call",
		ArgsUsage:   "METHOD CALL_ID",
		Description: deadShowDescription,
		Flags:       deadFlags(),
		Action:      deadShow,
	}
}

// deadDetails is what `warren dead show --json` prints.
type deadDetails struct {
	deadCall

	Method          string         `json:"method"`
	ContentType     string         `json:"content_type,omitempty"`
	ContentEncoding string         `json:"content_encoding,omitempty"`
	ReplyTo         string         `json:"reply_to,omitempty"`
	Caller          string         `json:"caller,omitempty"`
	UserID          string         `json:"user_id,omitempty"`
	MessageID       string         `json:"message_id,omitempty"`
	Type            string         `json:"type,omitempty"`
	Issued          *time.Time     `json:"issued,omitempty"`
	Deadline        *time.Time     `json:"deadline,omitempty"`
	Headers         map[string]any `json:"headers,omitempty"`
	Body            any            `json:"body,omitempty"`
	BodyBase64      []byte         `json:"body_base64,omitempty"`

	raw []byte
}

func deadShow(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	args, err := arguments(cmd, 2, 2)
	if err != nil {
		return err
	}
	s := deadSelection{method: args[0], callID: args[1]}
	if err := checkDeadMethod(cmd, s.method); err != nil {
		return err
	}
	q, err := openDeadQueue(ctx, cmd, s.method)
	if err != nil {
		return err
	}
	var found []*deadDetails
	err = q.each(ctx, q.ready, func(p *parked) error {
		if s.matches(p) {
			found = append(found, p.details(s.method))
		}
		return nil
	})
	if err != nil {
		q.drop()
		return err
	}
	if err := q.close(); err != nil {
		return err
	}
	if len(found) == 0 {
		return s.missing()
	}
	for i, d := range found {
		if out.json {
			err = out.object(d)
		} else {
			err = out.text(strings.Repeat("\n", min(i, 1)) + d.text())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *parked) details(method string) *deadDetails {
	// The body stands as that of a reply does.
	body := newCallResult(&warren.Reply{Body: p.Body, ContentType: p.ContentType}, 0)
	d := &deadDetails{
		deadCall: p.summary(), Method: method, ContentType: p.ContentType, ContentEncoding: p.ContentEncoding,
		ReplyTo: p.ReplyTo, Caller: p.AppId, UserID: cmp.Or(p.header(wire.DeadUser), p.UserId), MessageID: p.MessageId, Type: p.Type,
		Body: body.Body, BodyBase64: body.BodyBase64, raw: p.Body,
	}
	if meta, err := wire.DecodeMeta(p.Type); err == nil {
		d.Issued, d.Deadline = known(meta.Issued), known(meta.Deadline)
	}
	for name, value := range p.Headers {
		if strings.HasPrefix(name, deadHeaders) {
			continue
		}
		if d.Headers == nil {
			d.Headers = map[string]any{}
		}
		d.Headers[name] = jsonHeader(value)
	}
	return d
}

// known returns nil for the zero time, which JSON would print.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// jsonHeader returns what JSON can say of a header's value.
func jsonHeader(value any) any {
	switch v := value.(type) {
	case amqp.Table:
		object := make(map[string]any, len(v))
		for name, element := range v {
			object[name] = jsonHeader(element)
		}
		return object
	case []any:
		array := make([]any, len(v))
		for i, element := range v {
			array[i] = jsonHeader(element)
		}
		return array
	case []byte:
		if utf8.Valid(v) {
			return string(v)
		}
		return base64.StdEncoding.EncodeToString(v)
	case string, bool, nil, int8, uint8, int16, uint16, int32, int64, time.Time:
		return v
	default:
		return fmt.Sprint(v) // floats among them, which may be no number
	}
}

// text is what people read.
func (d *deadDetails) text() string {
	rows := newSheet()
	line := func(name, value string) { rows.field(name, "%s", value) }
	line("call ID", d.CallID)
	line("method", d.Method)
	line("reason", d.Reason)
	line("attempts", fmt.Sprint(d.Attempts))
	line("parked at", d.At)
	line("error", d.Error)
	line("incident", d.Incident)
	line("issued", instantText(d.Issued))
	line("deadline", instantText(d.Deadline))
	line("caller", d.Caller)
	line("user ID", d.UserID)
	line("message ID", d.MessageID)
	line("reply to", d.ReplyTo)
	line("type", d.Type)
	line("content type", d.ContentType)
	line("content encoding", d.ContentEncoding)
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		line("header "+name, fmt.Sprint(d.Headers[name]))
	}
	line("body", count(len(d.raw), "byte"))
	return rows.String() + bodyText(d.raw)
}

func instantText(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// shownBytes is how many bytes people see of a body that cannot be printed.
const shownBytes = 64

// bodyText is a body as people can read it, after an empty line; nothing if it is
// empty.
func bodyText(body []byte) string {
	if len(body) == 0 {
		return ""
	}
	if printable.Is(string(body)) {
		return "\n" + strings.TrimSuffix(string(body), "\n") + "\n"
	}
	text := fmt.Sprintf("\n% x", body[:min(len(body), shownBytes)])
	if len(body) > shownBytes {
		text += " …"
	}
	return text + "\n"
}
