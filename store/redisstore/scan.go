package redisstore

import (
	"context"

	"github.com/warren-rpc/warren/store"
)

// scanCount is how many keys of Redis are looked at in one step.
const scanCount = 1000

// Each calls fn with every record that is not past its retention, in no order. What is
// made or changed meanwhile may be left out, or be as it was. It goes through all keys of
// the database, and does not hold up others. An error of fn's ends it, and is returned. If
// data were lost, before it or meanwhile, it fails with a *store.CorruptError at its end at the latest.
func (s *Store) Each(ctx context.Context, fn func(store.Record) error) error {
	node, err := s.node(ctx, s.client)
	if err != nil {
		return s.failure(ctx, "scan", err)
	}
	// A scan may return a key several times.
	seen := make(map[store.Key]struct{})
	for cursor := uint64(0); ; {
		if s.line.isClosed() {
			return store.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		var names []string
		names, cursor, err = node.Scan(ctx, cursor, s.keys.records+"*", scanCount).Result()
		if err != nil {
			return s.failure(ctx, "scan", err)
		}
		keys := make([]store.Key, 0, len(names))
		for _, name := range names {
			text := name[len(s.keys.records):]
			if len(text) != len(store.Key{}) {
				continue // it is not ours
			}
			key := store.Key([]byte(text))
			if _, again := seen[key]; !again {
				seen[key] = struct{}{}
				keys = append(keys, key)
			}
		}
		if err := s.some(ctx, keys, fn); err != nil {
			return err
		}
		if cursor == 0 {
			break
		}
	}
	// Each record was read from this store. So that none is not that of a Redis that was emptied:
	_, err = s.run(ctx, heldScript, nil)
	return err
}

// some calls fn with some records.
func (s *Store) some(ctx context.Context, keys []store.Key, fn func(store.Record) error) error {
	ops := make([]*op, len(keys))
	for i, key := range keys {
		ops[i] = s.op(getScript, []string{s.keys.record(key)})
		if err := s.line.add(ops[i]); err != nil {
			return s.failure(ctx, "scan", err)
		}
	}
	for i, o := range ops {
		a, err := s.answered(ctx, o, o.wait(ctx))
		if err != nil {
			return err
		}
		r, err := s.record("scan", keys[i], a)
		if err != nil {
			return err
		}
		if r.State == store.Absent {
			continue
		}
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

// Stats implements [store.Store]. It reads all records, one after the other, as Each
// does. Size and Limit are those of the whole Redis.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	stats := store.Stats{Created: s.identity.Created, Records: make(map[store.State]int)}
	err := s.Each(ctx, func(r store.Record) error {
		stats.Records[r.State]++
		return nil
	})
	if err != nil {
		return store.Stats{}, err
	}
	stats.Size, stats.Limit, err = s.memory(ctx)
	if err != nil {
		return store.Stats{}, s.failure(ctx, "stats", err)
	}
	return stats, nil
}
