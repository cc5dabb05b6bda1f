package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
)

// storeLocation is where a store is, and what the tool does with a store of its kind. What
// it returns, and says in errors, has no passwords.
type storeLocation interface {
	// String is what named it.
	String() string
	// inspect opens what is there, to read it.
	inspect(ctx context.Context) (inspector, error)
	// states are those that records can be in.
	states() []store.State
	// check reads all of it, and returns what is wrong with it, which is no error.
	check(ctx context.Context) (*storeCheckResult, error)
	// sweep forgets the records that are past their retention, and returns how many.
	sweep(ctx context.Context) (int, error)
	// remember opens it for a server of the samples.
	remember(ctx context.Context, mode server.Mode, log *slog.Logger) (*memory, error)
}

// inspector is a store that is open for reading.
type inspector interface {
	Get(ctx context.Context, key store.Key) (store.Record, error)
	// Each calls fn with all records.
	Each(ctx context.Context, fn func(store.Record) error) error
	// stats returns what is printed of the store.
	stats(ctx context.Context) (*storeStatsResult, error)
	// identity is empty if no server has opened the store yet.
	identity() (store.Identity, error)
	Close() error
}

// storeSchemes are the kinds of store that a URL names. All else is a file.
var storeSchemes = map[string]func(url string) (storeLocation, error){
	"postgres": inPostgres, "postgresql": inPostgres,
	"redis": newRedisLocation, "rediss": newRedisLocation,
}

func inPostgres(url string) (storeLocation, error) { return newPostgresLocation(url) }

// newStoreLocation reads what names a store. The error does not repeat it.
func newStoreLocation(text string) (storeLocation, error) {
	scheme, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		if strings.Contains(text, "password=") { // a password must not become the name of a file
			return nil, errors.New("must be the path of a file, or a URL; a list of settings is neither")
		}
		return fileLocation(text), nil
	}
	at, known := storeSchemes[strings.ToLower(scheme)]
	if !known {
		return nil, errors.New("the scheme must be postgres, postgresql, redis or rediss; without one it is the path of a file")
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 && strings.Contains(rest[end:], "@") {
		// What would be said of it might have a part of the password.
		return nil, errors.New("has an @ behind the host: special characters of a password must be percent-encoded")
	}
	p, err := at(text)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// wrongStore is a check of settings.
func wrongStore(text string) string {
	if _, err := newStoreLocation(text); err != nil {
		return err.Error()
	}
	return ""
}

func storeFlag(usage string) cli.Flag { return &cli.StringFlag{Name: "store", Usage: usage} }

// storeCommandFlags are the flags of a command about a store, after its own.
func storeCommandFlags(own ...cli.Flag) []cli.Flag {
	file := &configFile{}
	return withSources(file, slices.Concat(own, []cli.Flag{aboutStoreFlag(), configFlag(file)}, outputFlags()))
}

func aboutStoreFlag() cli.Flag {
	return storeFlag("`STORE` that the command is about, instead of the argument")
}

// namedStore returns the store that --store, WARREN_STORE and the tool's file name;
// nil if none of them does.
func namedStore(cmd *cli.Command) (storeLocation, error) {
	if err := checkSettingsFile(cmd); err != nil {
		return nil, err
	}
	text := cmd.String("store")
	if text == "" {
		if cmd.IsSet("store") {
			return nil, usageError(cmd, "--store is empty")
		}
		return nil, nil
	}
	return storeLocationOf(cmd, text)
}

func storeLocationOf(cmd *cli.Command, text string) (storeLocation, error) {
	p, err := newStoreLocation(text)
	if err != nil {
		return nil, usageError(cmd, "the store: %v", err)
	}
	return p, nil
}

// storeArguments returns the store that a command is about, and its other arguments,
// of which there must be from least to most. The store is the first argument, unless
// --store names it. WARREN_STORE and the file name it if no argument does.
func storeArguments(cmd *cli.Command, least, most int) (storeLocation, []string, error) {
	named, err := namedStore(cmd)
	if err != nil {
		return nil, nil, err
	}
	args := cmd.Args().Slice()
	byFlag := named != nil && origin(cmd, "store") == "--store"
	if !byFlag && (named == nil || len(args) > most || len(args) > 0 && looksLikeStore(args[0])) {
		if args, err = arguments(cmd, 1+least, 1+most); err != nil {
			return nil, nil, err
		}
		named, err = storeLocationOf(cmd, args[0])
		return named, args[1:], err
	}
	args, err = arguments(cmd, least, most)
	return named, args, err
}

// looksLikeStore tells the name of a store from a method and a key.
func looksLikeStore(arg string) bool {
	if strings.ContainsAny(arg, `/\`) {
		return true
	}
	_, err := os.Lstat(arg)
	return err == nil
}
