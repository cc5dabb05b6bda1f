package pgstore

import "time"

const (
	// freeFor is for how long a lock must have been free for its owner to be dead: longer
	// than an owner takes to connect again.
	freeFor = 600 * time.Millisecond
	// gap is how far looks may lie apart and still be taken together: between two that
	// are further apart, as those of a process that was stopped, an owner may have been
	// there.
	gap = time.Second
	// graceAtFirst is how long a store that was opened judges nobody, and graceAgain
	// the same for one that has connected again, or a database that was started: the
	// others have lost their connections too.
	graceAtFirst = time.Second
	graceAgain   = 3 * time.Second
)

// attendance is one session of an owner. An owner that connects again has another.
type attendance struct {
	owner  int64
	opened int64 // microseconds since 1970
}

// deaths finds out from looks at the owners' locks who is dead. It goes by the process's
// monotonic clock: no step of a clock makes an owner dead.
type deaths struct {
	grace time.Duration
	began time.Time                // the first look
	last  time.Time                // the last look
	since map[attendance]time.Time // since when a lock has been free in every look
}

func newDeaths(grace time.Duration) deaths { return deaths{grace: grace} }

// after returns who is dead after a look that found these locks free.
func (d *deaths) after(now time.Time, free []attendance) (dead []attendance) {
	if d.began.IsZero() {
		d.began = now
	}
	before := d.since
	if now.Sub(d.last) > gap {
		before = nil
	}
	d.last = now
	d.since = make(map[attendance]time.Time, len(free))
	for _, a := range free {
		since, ok := before[a]
		if !ok {
			since = now
		}
		d.since[a] = since
		if now.Sub(since) >= freeFor && now.Sub(d.began) >= d.grace {
			dead = append(dead, a)
		}
	}
	return dead
}
