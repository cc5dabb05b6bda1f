package server

import (
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

// A request may come, or come again, when what was known of its call is forgotten.
// At-most-once and transactional methods go by its issue time then: nothing begins
// whose issue time is older than the retention.
//
// Why that is enough: a record is kept until its last change, or until the issue time
// if that lies ahead, plus the retention. So at the time at which it is forgotten the
// issue time is as old as the retention, or older, and from then on the call is
// refused. Both are reckoned by clocks of servers, or by a store's, which may differ
// by the allowance, and no clock of a caller's has a part in it. A request without an
// issue time, as plain callers send, is not refused.

// clockAllowance is how far the clocks of callers, servers and stores may be apart.
const clockAllowance = 10 * time.Second

// tooOld returns why a call must not be begun whose issue time is out of what the
// records cover; nil if it may. A replay is somebody's decision to begin it again.
func (g *gate) tooOld(a *answer) *warren.Error {
	if g.m.Dedupe.Mode == AtLeastOnce || a.req.Issued.IsZero() || a.unpark {
		return nil
	}
	switch age := time.Since(a.req.Issued); {
	case age >= g.m.Dedupe.Retention-clockAllowance:
		return &warren.Error{
			Code: warren.CodeAborted, Reason: warren.ReasonTooOld, Outcome: warren.Unknown,
			Message: "the call was made longer ago than the server remembers, and it must not be begun twice",
		}
	case age < -g.m.Dedupe.Retention:
		// Its record would have to be kept for ever.
		return &warren.Error{
			Code: warren.CodeInvalidArgument, Reason: warren.ReasonBadRequest, Outcome: a.notExecuted(),
			Message: "by the server's clock the call has not been made yet",
		}
	}
	return nil
}

// refuseAge is the end of a request that is too old. A notification, whose sender
// would not hear of that, is parked.
func (at *attempt) refuseAge(why *warren.Error) error {
	a := at.a
	if !a.req.OneWay || at.m.Dedupe.Park <= 0 || a.replay != nil {
		return why
	}
	why.Incident = newIncident()
	err := at.vouch(why.Incident)
	if err == nil {
		parked := make(chan error, 1)
		a.moveToDead(why, wire.Dead{Reason: why.Reason, Incident: why.Incident, User: a.req.UserID},
			func(_ *warren.Error, err error) { parked <- err })
		err = <-parked
	}
	if err != nil {
		return a.leave(unsettled) // the next delivery tries again
	}
	return why
}

// longestRetention bounds how long a record is kept because of a deadline.
const longestRetention = 90 * 24 * time.Hour

// retention is for how long the record of a call is kept from now on: the method's
// from its issue time on, if that lies ahead, and to its deadline at least.
func (g *gate) retention(a *answer) time.Duration {
	keep := g.m.Dedupe.Retention
	if a.unpark && g.m.Dedupe.Mode != AtLeastOnce {
		keep = max(keep, voucherRetention) // so long it is believed, and its age does not keep it from running again
	}
	if !a.req.Issued.IsZero() {
		keep += min(max(time.Until(a.req.Issued), 0), keep)
	}
	if !a.req.Deadline.IsZero() {
		keep = max(keep, min(time.Until(a.req.Deadline), longestRetention)+clockAllowance)
	}
	return keep
}

// covered reports whether the records would still have a call of that issue time, if
// the store was there. One that lies ahead by more than clocks may differ proves
// nothing: who says so may be wrong by more.
func (g *gate) covered(issued time.Time) bool {
	if issued.IsZero() {
		return false
	}
	age := time.Since(issued)
	if age < -clockAllowance {
		if kept, due := g.skewed.now(); due {
			g.s.cfg.Logger.Warn("a caller's clock is ahead of this server's; what became of its calls cannot be proven",
				"method", g.m.Name, "ahead", age.Abs(), "others", kept)
		}
		return false
	}
	return age < g.m.Dedupe.Retention-clockAllowance
}
