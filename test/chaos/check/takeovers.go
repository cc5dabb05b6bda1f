package check

import (
	"slices"
	"time"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// takeover is a call that was begun, and had been begun before.
type takeover struct {
	call  *call
	owner string // that began it before; may be empty
	at    time.Duration
}

// life is an incarnation of a server, which has made its store's claims.
type life struct {
	process string
	from    time.Duration
}

// takeovers judges calls that were begun again, and measures how long after its owner's
// kill each was.
func (j *judge) takeovers(g *gathered) {
	again := map[*call]int{}
	for _, t := range g.takeovers {
		again[t.call]++
		owner, known := g.owners[t.owner]
		if killed, ok := g.faults.death(owner, t.at); known && ok && !t.call.poison { // which kills one after the other
			g.report.Takeovers = append(g.report.Takeovers, t.at-killed)
		}
	}
	for _, c := range g.order {
		if c.mode == server.AtMostOnce && c.made > 0 {
			j.holds(BegunOnce, again[c] == 0, c.id, func() string { return "it was begun, and begun again" })
		}
	}
}

// death returns when the incarnation was killed, if it was before the time.
func (f *faults) death(l life, before time.Duration) (at time.Duration, killed bool) {
	i := slices.IndexFunc(f.kills, func(s Span) bool { return s.From >= l.from && history.IsProcess(l.process, s.Fault.Target) })
	if i < 0 || f.kills[i].From > before {
		return 0, false
	}
	return f.kills[i].From, true
}
