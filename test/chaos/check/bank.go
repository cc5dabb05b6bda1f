package check

import (
	"fmt"
	"maps"
	"slices"
)

// account is one of a bank whose transfers the effects are.
type account struct {
	begin, end *int64 // nil if it was not read
	moved      int64  // by all effects
}

func (g *gathered) account(name string) *account {
	a := g.accounts[name]
	if a == nil {
		a = &account{}
		g.accounts[name] = a
	}
	return a
}

// bank judges the accounts that were read at the begin and at the end.
func (j *judge) bank(g *gathered) {
	var before, after int64
	read, complete := 0, true
	for _, name := range slices.Sorted(maps.Keys(g.accounts)) {
		a := g.accounts[name]
		switch {
		case a.begin == nil && a.end == nil:
			continue // nobody looked: effects of a workload that reads no balances
		case a.begin == nil || a.end == nil:
			complete = false
			j.undecided(BankBalance, fmt.Sprintf("account %q was not read at both ends of the run", name))
			continue
		}
		read++
		before, after = before+*a.begin, after+*a.end
		j.holds(BankBalance, *a.end == *a.begin+a.moved, "", func() string {
			return fmt.Sprintf("account %q had %d, the effects moved %+d, and it has %d", name, *a.begin, a.moved, *a.end)
		})
	}
	if !complete {
		j.undecided(BankSum, "not all accounts were read at both ends of the run")
		return
	}
	if read == 0 {
		return
	}
	j.holds(BankSum, before == after, "", func() string {
		return fmt.Sprintf("the sum of %d accounts was %d and is %d", read, before, after)
	})
	for _, id := range slices.Sorted(maps.Keys(g.snapshots)) {
		j.holds(BankSum, g.snapshots[id] == before, id, func() string {
			return fmt.Sprintf("the sum of %d accounts was %d, and %d on the way", read, before, g.snapshots[id])
		})
	}
}
