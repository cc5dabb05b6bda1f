package proxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Kind names a fault of a script.
type Kind string

// The kinds of fault. The first three end connections and are over at once; the
// others last for Fault.For.
const (
	Reset     Kind = "reset"     // Cut(RST)
	Close     Kind = "close"     // Cut(FIN)
	HalfOpen  Kind = "half-open" // CloseHalf(Target, RST): the client is not told; its connection is cut after For
	Stall     Kind = "stall"
	Drop      Kind = "drop" // of one direction, or of both; the connections are cut after For
	Slice     Kind = "slice"
	Delay     Kind = "delay"
	Bandwidth Kind = "bandwidth"
	Refuse    Kind = "refuse" // cut with RST, and new connections refused
)

// Kinds lists all kinds in a fixed order.
var Kinds = []Kind{Reset, Close, HalfOpen, Stall, Drop, Slice, Delay, Bandwidth, Refuse}

// Fault is one thing that a script does to all connections.
type Fault struct {
	Kind Kind
	// After is how long after the end of the fault before it this one begins.
	After time.Duration
	// For is how long it lasts. Reset and Close take no notice of it.
	For time.Duration
	// Direction is that of Stall, Drop, Slice, Delay and Bandwidth.
	Direction Direction
	// Size is Shape.Slice of Slice and Shape.Bandwidth of Bandwidth.
	Size int
	// Delay and Jitter are those of Delay.
	Delay, Jitter time.Duration
}

// String tells the fault in a line, as a log wants it.
func (f Fault) String() string {
	switch f.Kind {
	case Reset, Close:
		return string(f.Kind)
	case HalfOpen, Refuse:
		return fmt.Sprintf("%s for %v", f.Kind, f.For)
	case Slice, Bandwidth:
		return fmt.Sprintf("%s %s %d for %v", f.Kind, f.Direction, f.Size, f.For)
	case Delay:
		return fmt.Sprintf("%s %s %v+%v for %v", f.Kind, f.Direction, f.Delay, f.Jitter, f.For)
	case Stall, Drop:
	}
	return fmt.Sprintf("%s %s for %v", f.Kind, f.Direction, f.For)
}

// Begin has the fault begin on all connections of the proxy. It returns what ends
// it, to be called once, also where there is nothing to end.
func (f Fault) Begin(p *Proxy) (end func()) {
	shape := func(s Shape) func() {
		p.Shape(f.Direction, s)
		return func() { p.Shape(f.Direction, Shape{}) }
	}
	switch f.Kind {
	case Reset:
		p.Cut(RST)
	case Close:
		p.Cut(FIN)
	case HalfOpen:
		halves := slices.DeleteFunc(p.Conns(), func(c *Conn) bool { return !c.CloseHalf(Target, RST) })
		return func() {
			for _, c := range halves {
				c.Cut(RST)
			}
		}
	case Stall:
		return shape(Shape{Stall: true})
	case Drop:
		return shape(Shape{Drop: true})
	case Slice:
		return shape(Shape{Slice: f.Size})
	case Delay:
		return shape(Shape{Delay: f.Delay, Jitter: f.Jitter})
	case Bandwidth:
		return shape(Shape{Bandwidth: f.Size})
	case Refuse:
		p.Refuse(true)
		p.Cut(RST)
		return func() { p.Refuse(false) }
	}
	return func() {}
}

// Run plays faults one after the other and returns after the last one's end, or
// with the context's error; a fault that has begun is ended in any case. If it is
// not nil, tell is called on this goroutine after each beginning and each end.
func (p *Proxy) Run(ctx context.Context, faults []Fault, tell func(f Fault, begins bool)) error {
	if tell == nil {
		tell = func(Fault, bool) {}
	}
	for _, f := range faults {
		if err := sleep(ctx, f.After); err != nil {
			return err
		}
		end := f.Begin(p)
		tell(f, true)
		err := error(nil)
		if f.Kind != Reset && f.Kind != Close {
			err = sleep(ctx, f.For)
		}
		end()
		tell(f, false)
		if err != nil {
			return err
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Random makes n faults of the kinds from a seed: the same seed, n and kinds make
// the same faults. Gaps and durations are between a tenth of pace and twice it; with no
// kinds, all are drawn from.
func Random(seed uint64, n int, pace time.Duration, kinds ...Kind) []Fault {
	if len(kinds) == 0 {
		kinds = Kinds
	}
	random := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	span := func(low, high time.Duration) time.Duration {
		return low + time.Duration(random.Int64N(max(1, int64(high-low))))
	}
	faults := make([]Fault, n)
	for i := range faults {
		f := Fault{
			Kind: kinds[random.IntN(len(kinds))], After: span(pace/10, 2*pace), For: span(pace/10, 2*pace),
			Direction: Direction(random.IntN(3)),
		}
		switch f.Kind {
		case Slice:
			f.Size = 1 + random.IntN(16)
		case Bandwidth:
			f.Size = 8<<10 + random.IntN(256<<10)
		case Delay:
			f.Delay, f.Jitter = span(0, 100*time.Millisecond), span(0, 50*time.Millisecond)
		case Reset, Close, HalfOpen, Stall, Drop, Refuse:
		}
		faults[i] = f
	}
	return faults
}
