package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/store"
)

const storeStatsDescription = `Prints what STORE holds: how many records are in each state; how many bytes are in use;
when it was made; and its ID, by which brokers know it.

Of a file also how many records are past their retention and will be deleted by the
next sweep, and when others will be; how long the file is, which compact makes as long
as what is in use; and its epoch, which is how often it was opened by a server. The
limit of its size is the server's option, and not in the file.

All records of a store in Redis are read for it; the bytes are those of the whole Redis.

Examples:
   warren store stats orders.db
   warren store stats --json orders.db | jq .records.interrupted
   WARREN_STORE=postgres://shop@db/shop warren store stats`

func storeStatsCommand() *cli.Command {
	return &cli.Command{
		Name:        "stats",
		Usage:       "count the records of a store, by state",
		ArgsUsage:   "STORE",
		Description: storeStatsDescription,
		Flags:       storeCommandFlags(),
		Action:      storeStats,
	}
}

// storeStatsResult is what `warren store stats --json` prints.
type storeStatsResult struct {
	File    string         `json:"file,omitempty"` // of a store in a file
	URL     string         `json:"url,omitempty"`  // of any other, without passwords
	ID      string         `json:"id,omitempty"`   // of the store; none if no server has opened it yet
	Records map[string]int `json:"records"`        // by state, all states
	Total   int            `json:"total"`
	Size    int64          `json:"size"` // bytes in use
	Created *time.Time     `json:"created,omitempty"`

	*storeFileStats // of a store in a file
}

// storeFileStats are what the tool tells of files alone.
type storeFileStats struct {
	// Expired are past their retention. OldestExpiry is when the first record ends,
	// or has ended; NextExpiry when the first does of those that have not.
	Expired      int        `json:"expired"`
	OldestExpiry *time.Time `json:"oldest_expiry,omitempty"`
	NextExpiry   *time.Time `json:"next_expiry,omitempty"`
	FileSize     int64      `json:"file_size"` // bytes
	Epoch        uint64     `json:"epoch"`
}

func newStoreStatsResult(id store.Identity, stats *store.Stats, states []store.State) *storeStatsResult {
	r := &storeStatsResult{
		ID: id.ID, Records: map[string]int{}, Total: stats.Total(), Size: stats.Size, Created: known(stats.Created),
	}
	for _, state := range states {
		r.Records[state.String()] = stats.Records[state]
	}
	return r
}

func storeStats(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	at, _, err := storeArguments(cmd, 0, 0)
	if err != nil {
		return err
	}
	s, err := openStore(ctx, at)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // it was only read
	result, err := s.stats(ctx)
	if err != nil {
		return storeError(ctx, err)
	}
	if out.json {
		return out.object(result)
	}
	return out.text(result.text())
}

// The states of records: in a file that is read nobody is at work on any.
var (
	fileStates   = []store.State{store.Interrupted, store.Completed, store.Failed, store.Parked, store.Tombstone}
	sharedStates = append([]store.State{store.InProgress}, fileStates...)
)

func (s *storeStatsResult) text() string {
	rows := newSheet()
	line := rows.field
	line("file", "%s", s.File)
	line("url", "%s", s.URL)
	line("store", "%s", s.ID)
	line("records", "%s", thousands(s.Total))
	for _, state := range sharedStates {
		if n := s.Records[state.String()]; n > 0 {
			line("  "+state.String(), "%s", thousands(n))
		}
	}
	instant := func(name string, at *time.Time) {
		if at != nil {
			line(name, "%s", at.Format(time.RFC3339))
		}
	}
	if f := s.storeFileStats; f != nil {
		line("past retention", "%s", thousands(f.Expired))
		instant("oldest expiry", f.OldestExpiry)
		instant("next expiry", f.NextExpiry)
	}
	instant("created", s.Created)
	if f := s.storeFileStats; f != nil {
		line("in use", "%s of %s", thousands(int(s.Size)), count(int(f.FileSize), "byte"))
		line("epoch", "%d", f.Epoch)
	} else if s.Size > 0 {
		line("in use", "%s", count(int(s.Size), "byte"))
	}
	return rows.String()
}
