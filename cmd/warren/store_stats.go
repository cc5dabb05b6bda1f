package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
)

const storeStatsDescription = `Prints what FILE holds: how many records are in each state, how many of them are past
their retention and will be deleted by the next sweep, and when others will be; how
many bytes are in use and how long the file is, which compact makes the same; when
it was made; its ID, by which brokers know it; and its epoch, which is how often it was opened by a server. The limit of
its size is the server's option, and not in the file.

Examples:
   warren store stats orders.db
   warren store stats --json orders.db | jq .records.interrupted`

func storeStatsCommand() *cli.Command {
	return &cli.Command{
		Name:        "stats",
		Usage:       "count the records of a file, by state",
		ArgsUsage:   "FILE",
		Description: storeStatsDescription,
		Flags:       outputFlags(),
		Action:      storeStats,
	}
}

// storeStatsResult is what `warren store stats --json` prints.
type storeStatsResult struct {
	File    string         `json:"file"`
	ID      string         `json:"id,omitempty"` // of the store; none if no server has opened it yet
	Records map[string]int `json:"records"`      // by state, all states
	Total   int            `json:"total"`
	// Expired are past their retention. OldestExpiry is when the first record ends,
	// or has ended; NextExpiry when the first does of those that have not.
	Expired      int        `json:"expired"`
	OldestExpiry *time.Time `json:"oldest_expiry,omitempty"`
	NextExpiry   *time.Time `json:"next_expiry,omitempty"`
	Size         int64      `json:"size"`      // bytes in use
	FileSize     int64      `json:"file_size"` // bytes
	Created      *time.Time `json:"created,omitempty"`
	Epoch        uint64     `json:"epoch"`
}

func storeStats(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	args, err := arguments(cmd, 1, 1)
	if err != nil {
		return err
	}
	r, err := openStore(args[0])
	if err != nil {
		return err
	}
	defer r.Close()
	result, err := readStats(ctx, r, args[0])
	if err != nil {
		return storeError(ctx, err)
	}
	if out.json {
		return out.object(result)
	}
	return out.text(result.text())
}

func readStats(ctx context.Context, r *boltstore.Reader, path string) (*storeStatsResult, error) {
	stats, err := r.Stats(ctx)
	if err != nil {
		return nil, err
	}
	epoch, err := r.Epoch()
	if err != nil {
		return nil, err
	}
	id, err := r.Identity()
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	result := &storeStatsResult{
		File: path, ID: id.ID, Records: map[string]int{}, Total: stats.Total(), Size: stats.Size, FileSize: info.Size(),
		Created: known(stats.Created), Epoch: epoch,
	}
	for _, state := range recordStates {
		result.Records[state.String()] = stats.Records[state]
	}
	return result, result.readExpiries(ctx, r, time.Now())
}

// recordStates are the states of records that nobody is at work on.
var recordStates = []store.State{store.Interrupted, store.Completed, store.Failed, store.Parked, store.Tombstone}

var errSeen = errors.New("enough was seen")

// readExpiries looks at the records that are past their retention, and a minute's
// more: that is how far they are out of order.
func (s *storeStatsResult) readExpiries(ctx context.Context, r *boltstore.Reader, now time.Time) error {
	var oldest, next time.Time
	err := r.All(ctx, func(record store.Record) error {
		at := record.Expires
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
		switch {
		case !at.After(now):
			s.Expired++
		case next.IsZero() || at.Before(next):
			next = at
		case at.After(next.Add(time.Minute)):
			return errSeen
		}
		return nil
	})
	if errors.Is(err, errSeen) {
		err = nil
	}
	s.OldestExpiry, s.NextExpiry = known(oldest), known(next)
	return err
}

func (s *storeStatsResult) text() string {
	rows := newSheet()
	line := rows.field
	line("file", "%s", s.File)
	if s.ID != "" {
		line("store", "%s", s.ID)
	}
	line("records", "%s", thousands(s.Total))
	for _, state := range recordStates {
		if n := s.Records[state.String()]; n > 0 {
			line("  "+state.String(), "%s", thousands(n))
		}
	}
	line("past retention", "%s", thousands(s.Expired))
	for _, at := range []struct {
		name string
		*time.Time
	}{{"oldest expiry", s.OldestExpiry}, {"next expiry", s.NextExpiry}, {"created", s.Created}} {
		if at.Time != nil {
			line(at.name, "%s", at.Format(time.RFC3339))
		}
	}
	line("in use", "%s of %s", thousands(int(s.Size)), count(int(s.FileSize), "byte"))
	line("epoch", "%d", s.Epoch)
	return rows.String()
}
