package policy_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/internal/policy"
)

// paced is a line behind a pacer, on a clock of its own.
type paced struct {
	*policy.Pacer
	now  time.Time
	line int
	up   bool
	went []time.Time
}

func newPaced() *paced {
	p := &paced{now: time.Unix(1_000_000, 0), up: true}
	p.Pacer = policy.NewPacer(p.now)
	return p
}

// pass lets that time pass in which the line grows at that rate per second.
func (p *paced) pass(d time.Duration, rate float64) {
	const step = 2 * time.Millisecond
	due := 0.0
	for end := p.now.Add(d); p.now.Before(end); p.now = p.now.Add(step) {
		for due += rate * step.Seconds(); due >= 1; due-- {
			p.Arrived()
			p.line++
		}
		for p.up {
			n, wait := p.Take(p.now, p.line)
			if p.line == 0 {
				break
			}
			if n == 0 {
				if wait <= 0 {
					panic("nothing may go, and no time is named")
				}
				break
			}
			p.line -= n
			for range n {
				p.went = append(p.went, p.now)
			}
		}
	}
}

// inSecond is how many went in the busiest second since then.
func (p *paced) inSecond(since time.Time) int {
	most, first := 0, 0
	for i, at := range p.went {
		for p.went[first].Before(since) && first < i || at.Sub(p.went[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func TestPacerLetsEverythingThroughInCalmTimes(t *testing.T) {
	t.Parallel()
	p := newPaced()
	for _, rate := range []float64{1, 1000, 5, 100_000, 300} {
		p.pass(3*time.Second, rate)
		if p.line > 100 { // what came in the last step of the clock
			t.Fatalf("%d wait at a rate of %v", p.line, rate)
		}
	}
}

func TestPacerSpreadsWhatHasWaited(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(25, 500).Draw(t, "rate")
		outage := time.Duration(rapid.IntRange(1, 10).Draw(t, "outage")) * time.Second
		p := newPaced()
		p.pass(5*time.Second, rate)
		p.Interrupted(p.now)
		p.up = false
		p.pass(outage, rate)
		p.up = true
		back := p.now
		p.pass(2*outage+time.Second, rate)
		if most := float64(p.inSecond(back)); most > 2*rate {
			t.Errorf("%v went in a second; the usual rate is %v", most, rate)
		}
		if p.line > int(rate/100)+1 {
			t.Errorf("%d still wait %v after an outage of %v", p.line, 2*outage, outage)
		}
		// Nobody waits for longer than the outage took.
		waited := 0.0
		for i, at := range p.went {
			came := time.Duration(float64(i+1) / rate * float64(time.Second))
			waited = max(waited, at.Sub(time.Unix(1_000_000, 0).Add(came)).Seconds())
		}
		if waited > outage.Seconds()+0.1 {
			t.Errorf("one waited for %.2f s; the outage took %v", waited, outage)
		}
	})
}

// Those who call again when they are answered are few in an outage, however many
// calls they made before.
func TestPacerKnowsWhatWasUsualBefore(t *testing.T) {
	t.Parallel()
	p := newPaced()
	p.pass(5*time.Second, 5000)
	p.Interrupted(p.now)
	p.up = false
	p.line += 256
	for range 256 {
		p.Arrived()
	}
	p.pass(10*time.Second, 0)
	p.up = true
	p.pass(200*time.Millisecond, 0)
	if p.line > 0 {
		t.Errorf("%d still wait", p.line)
	}
}

// Interruptions in quick succession must not make it forget.
func TestPacerOutlivesAFlappingConnection(t *testing.T) {
	t.Parallel()
	p := newPaced()
	p.pass(5*time.Second, 1000)
	for range 50 {
		p.Interrupted(p.now)
		p.pass(10*time.Millisecond, 0)
		p.line++
		p.Arrived()
		p.pass(10*time.Millisecond, 0)
	}
	p.Interrupted(p.now)
	p.up = false
	p.pass(time.Second, 1000)
	p.up = true
	p.pass(3*time.Second, 1000)
	if p.line > 10 {
		t.Errorf("%d still wait", p.line)
	}
}

func TestPacerIsQuickWhereLittleIsCalled(t *testing.T) {
	t.Parallel()
	p := newPaced()
	p.pass(time.Minute, 0.1)
	p.Interrupted(p.now)
	p.up = false
	p.pass(time.Minute, 0.1)
	p.up = true
	p.pass(400*time.Millisecond, 0)
	if p.line > 0 {
		t.Errorf("%d still wait", p.line)
	}
}

// One who has made no calls during an interruption, or had but a short one, may
// make as many at once as before.
func TestPacerSlowsNobodyWhoHasNotWaited(t *testing.T) {
	t.Parallel()
	for _, length := range []time.Duration{10 * time.Millisecond, 900 * time.Millisecond, time.Hour} {
		p := newPaced()
		p.pass(time.Second, 0)
		p.Interrupted(p.now)
		p.now = p.now.Add(length)
		if length < time.Second {
			p.line = 1000
		} else {
			p.Take(p.now, 0)
			p.line = 1000
		}
		if n, _ := p.Take(p.now, p.line); n != 1000 {
			t.Errorf("%d of 1000 go out after %v", n, length)
		}
	}
}
