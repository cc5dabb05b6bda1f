package redisstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// beatEvery is how often an owner says that it is alive.
	beatEvery = 300 * time.Millisecond
	// beatTimeout is how long one waits for Redis to hear it.
	beatTimeout = time.Second
	// deadAfter is how long an owner must say nothing to be dead to another, who has heard
	// Redis all that time.
	deadAfter = time.Second
	// heardWithin is the longest pause in which one has still heard Redis.
	heardWithin = 700 * time.Millisecond
)

// owners says that this owner is alive, and learns which others are dead. An owner counts
// in Redis how often it has said so, with a beat or a change; whoever sees a count stand still takes the owner out.
// An expiry would do that while Redis is down, and when its clock steps: to all at once.
type owners struct {
	s      *Store
	cancel context.CancelFunc
	group  sync.WaitGroup

	heard time.Time // when Redis answered last
	seen  map[string]sighting
	quiet bool // the last beat failed, or Redis is refused

	checked time.Time // when Redis was checked last, and taken
}

// sighting is an owner's count, and since when it is that.
type sighting struct {
	count string
	since time.Time
}

func newOwners(s *Store) *owners {
	return &owners{s: s, seen: make(map[string]sighting), checked: time.Now()}
}

func (o *owners) start() {
	ctx, cancel := context.WithCancel(context.Background())
	o.cancel = cancel
	o.group.Go(func() { o.run(ctx) })
}

// stop is called once, after start.
func (o *owners) stop() {
	o.cancel()
	o.group.Wait()
}

func (o *owners) run(ctx context.Context) {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	var dead []any
	for {
		counts, err := o.beat(ctx, dead)
		dead = nil
		if err == nil {
			dead = o.judge(counts, time.Now())
			err = o.check(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if redis.HasErrorPrefix(err, "WARRENLOST") {
			o.s.line.refuse(nil) // each script says so itself, and it is for good
		}
		o.tell(ctx, err)
		if len(dead) > 0 {
			continue // at once
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// beat says that this owner is alive and others are dead, and returns the counts of all.
func (o *owners) beat(ctx context.Context, dead []any) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	run := o.s.op(beatScript, nil, dead...)
	reply, err := o.s.session.Eval(ctx, run.script.source, run.keys, run.args...).Slice()
	if err != nil {
		return nil, err
	}
	a, err := parseAnswer(reply)
	if err != nil {
		return nil, err
	}
	counts := make(map[string]string, len(a.record)/2)
	for i := 0; i+1 < len(a.record); i += 2 {
		counts[fmt.Sprint(a.record[i])] = fmt.Sprint(a.record[i+1])
	}
	return counts, nil
}

// check has Redis checked from time to time, and whenever all was not well.
func (o *owners) check(ctx context.Context) error {
	if !o.quiet && time.Since(o.checked) < checkEvery {
		return nil
	}
	err := o.s.recheck(ctx)
	if err == nil {
		o.checked = time.Now()
	}
	return err
}

// judge returns the owners whose counts have stood still for too long, each with its
// count.
func (o *owners) judge(counts map[string]string, now time.Time) (dead []any) {
	if now.Sub(o.heard) > heardWithin {
		clear(o.seen) // nothing is known of the time between
	}
	o.heard = now
	for owner := range o.seen {
		if _, there := counts[owner]; !there {
			delete(o.seen, owner)
		}
	}
	for owner, count := range counts {
		switch seen, known := o.seen[owner]; {
		case owner == o.s.owner:
		case !known || seen.count != count:
			o.seen[owner] = sighting{count, now}
		case now.Sub(seen.since) >= deadAfter:
			dead = append(dead, owner, count)
			delete(o.seen, owner)
		}
	}
	return dead
}

// tell says that Redis cannot be reached, or has lost data, and that it can be again;
// once each.
func (o *owners) tell(ctx context.Context, err error) {
	log := o.s.opts.Logger
	switch {
	case err != nil && !o.quiet:
		log.Error("the store in Redis does not work", "store", o.s.identity.String(),
			"error", o.s.failure(ctx, beatScript.name, err))
	case err == nil && o.quiet:
		log.Info("the store in Redis works again", "store", o.s.identity.String())
	}
	o.quiet = err != nil
}
