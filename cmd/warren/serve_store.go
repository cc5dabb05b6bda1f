package main

import (
	"context"
	"log/slog"
	"slices"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
)

// storeModes are what --store-mode takes.
var storeModes = []server.Mode{server.AtLeastOnce, server.AtMostOnce, server.Transactional}

func storeFlags() []cli.Flag {
	return []cli.Flag{
		storeFlag("remember calls in `STORE`, and serve sample.count: a file, which is made if it is not there, or a URL of PostgreSQL or Redis"),
		&cli.StringFlag{
			Name: "store-mode", Value: server.AtLeastOnce.String(),
			Usage: "at-least-once, at-most-once, or transactional: what is promised of calls that are repeated",
		},
	}
}

// memory is what a server of the samples remembers calls in.
type memory struct {
	store store.Store
	mode  server.Mode
	// count registers sample.count, which adds one to a counter and answers with what
	// that is then. In transactional mode the counter changes with the record of the
	// call.
	count  func(*server.Server, server.Method) error
	closes func() error
}

// openMemory opens what the command line names; nil if it names nothing.
func openMemory(ctx context.Context, cmd *cli.Command, log *slog.Logger) (*memory, error) {
	at, err := namedStore(cmd)
	if err != nil {
		return nil, err
	}
	name := cmd.String("store-mode")
	i := slices.IndexFunc(storeModes, func(m server.Mode) bool { return m.String() == name })
	switch {
	case i < 0:
		return nil, usageError(cmd, "--store-mode is %.60q; it must be at-least-once, at-most-once or transactional", name)
	case at == nil && cmd.IsSet("store-mode"):
		return nil, usageError(cmd, "--store-mode says nothing without --store")
	case at == nil:
		return nil, nil
	}
	opening, cancel := context.WithTimeout(ctx, openingTimeout)
	defer cancel()
	m, err := at.remember(opening, storeModes[i], log)
	if err != nil {
		return nil, storeError(ctx, err)
	}
	m.mode = storeModes[i]
	return m, nil
}

// remembered makes the settings of a sample without a transaction.
func (m *memory) remembered(settings server.Method) server.Method {
	if m != nil && m.mode != server.Transactional {
		settings.Dedupe.Mode = m.mode
	}
	return settings
}

// sample is the one that has an effect.
func (m *memory) sample() sample {
	return sample{"sample.count", func(s *server.Server, settings server.Method) error {
		settings.Codec = textCodec{}
		return m.count(s, settings)
	}}
}

// anyText is a body that does not matter.
type anyText struct{}

// UnmarshalText implements encoding.TextUnmarshaler.
func (*anyText) UnmarshalText([]byte) error { return nil }
