package check

import (
	"time"

	"github.com/warren-rpc/warren/server"
)

// Options are what is demanded of a history. The zero value is usable.
type Options struct {
	// Mode is that of calls whose events have none. Default: at-least-once.
	Mode server.Mode
	// Grace is by how much a call may end after its deadline. What its process stood
	// still by a declared fault while the call was open is added. Default, and for
	// less than 0: 100 ms.
	Grace time.Duration
	// Recovery is how long after a fault's end a call must have succeeded, if no other
	// fault was there meanwhile. Default, and for less than 0: 10 s.
	Recovery time.Duration
	// Goroutines, Descriptors and Heap (in bytes) are by how much a process may have
	// more at its end than at its start. Default: 2, 2, 16 MiB. Below 0: nothing.
	Goroutines, Descriptors int
	Heap                    int64
	// Linearize bounds the time for all registers together, each of which is cut off
	// when it is over and undecided. Default, and for less than 0: 30 s.
	Linearize time.Duration
	// Visualise is the folder to which the history of a register that is not
	// linearizable is written, as HTML. Default: it is not.
	Visualise string
	// Examples is how many each invariant has at most. Default: 10. Below 0: none.
	Examples int
	// Require are the invariants that must have been checked at least once.
	Require []Name
}

func (o Options) withDefaults() Options {
	positive(&o.Grace, 100*time.Millisecond)
	positive(&o.Recovery, 10*time.Second)
	positive(&o.Linearize, 30*time.Second)
	orNone(&o.Goroutines, 2)
	orNone(&o.Descriptors, 2)
	orNone(&o.Heap, 16<<20)
	orNone(&o.Examples, 10)
	return o
}

func positive(d *time.Duration, standard time.Duration) {
	if *d <= 0 {
		*d = standard
	}
}

func orNone[T int | int64](n *T, standard T) {
	switch {
	case *n == 0:
		*n = standard
	case *n < 0:
		*n = 0
	}
}
