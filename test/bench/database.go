package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
)

// Database is a memory that takes a driver, which this package does not link. It adds
// two variants: warren-classic-NAME, a server whose store is in it, and raw-inbox-NAME,
// which does the same by hand.
type Database struct {
	// Name is that of the kind of database, such as "postgres".
	Name string
	// Start starts a database for one run, and returns its address and what ends it. Run
	// calls it once, before the first round, and if one of the variants is measured.
	Start func(ctx context.Context) (url string, stop func() error, err error)
	// Open opens a store there, in the process of a server.
	Open func(ctx context.Context, url string) (st store.Store, err error)
	// OpenInbox opens what a program by hand has: it is called in the process of a server.
	OpenInbox func(ctx context.Context, url string) (Inbox, error)
}

// Inbox is the memory of a server that is written by hand: a table with a row for each
// request. All methods but Close are called concurrently.
type Inbox interface {
	// Begin commits that the request has come, and reports whether it is new.
	Begin(ctx context.Context, id string) (isNew bool, err error)
	// End commits what it was answered with.
	End(ctx context.Context, id string, reply []byte) error
	Close() error
}

// variants are the two that the database adds.
func (d Database) variants() []variant {
	return []variant{
		{name: "warren-classic-" + d.Name, database: d.Name, serve: d.serve, connect: connectWarren(false)},
		{name: "raw-inbox-" + d.Name, database: d.Name, serve: d.serveInbox, connect: connectGuarantees},
	}
}

// serve serves as warren-classic does, with a store in the database.
func (d Database) serve(ctx context.Context, s spec, ready func()) (err error) {
	st, err := d.Open(ctx, s.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return serveWarren(ctx, s, server.Classic, st, ready)
}

// serveInbox serves as raw-guarantees does, with a row in the inbox before the request is
// handled and the reply in it before that is published.
func (d Database) serveInbox(ctx context.Context, s spec, ready func()) (err error) {
	inbox, err := d.OpenInbox(ctx, s.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, inbox.Close()) }()
	return guaranteesServer(amqp.QueueTypeClassic, func(d amqp.Delivery) error {
		// Correlation IDs are numbers that every client begins anew.
		id := s.Queue + "/" + d.CorrelationId
		isNew, err := inbox.Begin(ctx, id)
		if err != nil {
			return fmt.Errorf("inbox: %w", err)
		}
		if !isNew {
			return fmt.Errorf("inbox: the request %q has come before", id)
		}
		if err := inbox.End(ctx, id, d.Body); err != nil {
			return fmt.Errorf("inbox: %w", err)
		}
		return nil
	})(ctx, s, ready)
}

// startDatabases starts those that the variants need. What it returns are their
// addresses by their names, and what ends them.
func startDatabases(ctx context.Context, o Options) (urls map[string]string, stop func() error, err error) {
	urls = make(map[string]string)
	var stops []func() error
	stop = func() error {
		var errs []error
		for _, stop := range stops {
			errs = append(errs, stop())
		}
		return errors.Join(errs...)
	}
	for _, d := range o.Databases {
		needed := slices.ContainsFunc(d.variants(), func(v variant) bool { return slices.Contains(o.Variants, v.name) })
		if !needed {
			continue
		}
		url, end, err := d.Start(ctx)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("bench: private %s: %w", d.Name, err), stop())
		}
		urls[d.Name], stops = url, append(stops, end)
	}
	return urls, stop, nil
}
