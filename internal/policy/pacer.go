package policy

import "time"

// Pacer spreads what has waited for a connection over some time once there is one,
// so that the end of an outage is not the beginning of an overload: all that was
// called meanwhile would otherwise go out in the same moment, from every client
// at once.
//
// After an interruption of a second or more it lets [PaceFactor] times the usual
// rate through, until once nothing waits. Otherwise it lets everything through: what
// comes in less than a second is no more than once the usual rate on top of it. The
// usual rate is a mean over some seconds of what Arrived counted, in which the last
// second, or the interruption, has half of the weight. At this pace what has come at
// the usual rate waits no longer again than it has waited before.
//
// It reads no clock but the time that its methods are given, and is not safe for
// concurrent use.
type Pacer struct {
	arrived int       // since looked
	looked  time.Time // zero before the first call of Take
	usual   float64   // per second
	seen    bool      // usual is known

	interrupted time.Time // zero while things go out
	pacing      bool
	tokens      float64
	refilled    time.Time
}

const (
	// PaceFactor is what a [Pacer] multiplies the usual rate by. Below 2, so that
	// what counts the rate in seconds sees no more than twice the usual one.
	PaceFactor = 1.8
	// paceFloor is the slowest pace, per second: of who hardly ever calls the usual
	// rate is known badly, and does not matter.
	paceFloor = 20.0
	// paceBeat is how often something is let through, and how much of an unused
	// pace is kept.
	paceBeat = 5 * time.Millisecond
	// paceLook is how long the rate is measured at least, and the shortest
	// interruption that makes a difference.
	paceLook = time.Second
)

// NewPacer returns a pacer that has been interrupted at that time: the beginning,
// when there is no connection yet.
func NewPacer(now time.Time) *Pacer { return &Pacer{looked: now, interrupted: now} }

// Arrived says that one more waits.
func (p *Pacer) Arrived() { p.arrived++ }

// Interrupted says that nothing goes out until the next call of Take.
func (p *Pacer) Interrupted(now time.Time) {
	if p.interrupted.IsZero() {
		p.interrupted = now
	}
}

// Take returns how many of the n that wait may go now. If that is 0 and n is not,
// wait says after which time to ask again. It is called whenever something can go
// out again, also if nothing waits.
func (p *Pacer) Take(now time.Time, n int) (take int, wait time.Duration) {
	since := now.Sub(p.looked)
	if !p.interrupted.IsZero() || since >= paceLook {
		p.look(since)
		p.looked = now
	}
	if !p.interrupted.IsZero() {
		p.pacing = p.pacing || now.Sub(p.interrupted) >= paceLook
		p.interrupted, p.tokens, p.refilled = time.Time{}, 1, now
	}
	if !p.pacing {
		return n, 0
	}
	pace := max(PaceFactor*p.usual, paceFloor)
	p.tokens = min(p.tokens+pace*now.Sub(p.refilled).Seconds(), max(1, 2*pace*paceBeat.Seconds()))
	p.refilled = now
	if take = min(n, int(p.tokens)); take == n {
		p.pacing = false
		return n, 0
	}
	p.tokens -= float64(take)
	if take > 0 {
		return take, 0
	}
	return 0, max(paceBeat, time.Duration((1-p.tokens)/pace*float64(time.Second)))
}

// look takes the rate since the last look into the usual one.
func (p *Pacer) look(since time.Duration) {
	rate := float64(p.arrived) / max(since, paceBeat).Seconds()
	weight := 1.0
	if p.seen {
		weight = min(1, since.Seconds()/paceLook.Seconds()) / 2
	}
	p.usual += (rate - p.usual) * weight
	p.seen, p.arrived = true, 0
}
