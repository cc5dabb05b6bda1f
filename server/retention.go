package server

import (
	"log/slog"
	"time"

	"github.com/warren-rpc/warren"
)

// retention is for how long a method remembers its calls, and what follows from that.
//
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
type retention struct {
	*Dedupe

	log   *slog.Logger // with the method
	ahead logLimit     // of issue times that lie ahead
}

// clockAllowance is how far the clocks of callers, servers and stores may be apart.
const clockAllowance = 10 * time.Second

// longestRetention bounds for how long a record is kept because of a deadline, and how
// long a parked call waits for somebody who decides, and its replay is believed.
const longestRetention = 90 * 24 * time.Hour

// forbids returns why a call must not be begun whose issue time is out of what the
// records cover; nil if it may. A replay is somebody's decision to begin it again.
func (r *retention) forbids(ex *exchange) *warren.Error {
	if r.Mode == AtLeastOnce || ex.req.Issued.IsZero() || ex.unpark {
		return nil
	}
	switch age := time.Since(ex.req.Issued); {
	case age >= r.Retention-clockAllowance:
		return warren.Errorf(warren.CodeAborted, "the call was made longer ago than the server remembers, and it must not be begun twice").
			WithReason(warren.ReasonTooOld)
	case age < -r.Retention:
		// Its record would have to be kept for ever.
		return ex.refuse(warren.Errorf(warren.CodeInvalidArgument, "by the server's clock the call has not been made yet").
			WithReason(warren.ReasonBadRequest)).err
	}
	return nil
}

// ofRecord is for how long the record of a call is kept from now on: the method's
// retention from its issue time on, if that lies ahead, and to its deadline at least.
func (r *retention) ofRecord(ex *exchange) time.Duration {
	keep := r.Retention
	if ex.unpark && r.Mode != AtLeastOnce {
		keep = max(keep, longestRetention) // so long it is believed, and its age does not keep it from running again
	}
	if !ex.req.Issued.IsZero() {
		keep += min(max(time.Until(ex.req.Issued), 0), keep)
	}
	if !ex.req.Deadline.IsZero() {
		keep = max(keep, min(time.Until(ex.req.Deadline), longestRetention)+clockAllowance)
	}
	return keep
}

// ofTombstone is for how long a tombstone of a call that never came must be kept.
// In at-most-once and transactional mode nothing is begun whose issue time is as old
// as the retention less the allowance, nor one that lies further ahead than the
// retention (see forbids): once the call's own is so old, no request with it begins,
// tombstone or not. In at-least-once mode any request may be begun, however old it is;
// so it may if the issue time is not known.
func (r *retention) ofTombstone(issued time.Time) time.Duration {
	if r.Mode == AtLeastOnce || issued.IsZero() {
		return r.Retention
	}
	return min(max(r.Retention-time.Since(issued), clockAllowance), 2*r.Retention)
}

// covers reports whether the records would still have a call of that issue time, if
// the store was there. One that lies ahead by more than clocks may differ proves
// nothing: who says so may be wrong by more.
func (r *retention) covers(issued time.Time) bool {
	if issued.IsZero() {
		return false
	}
	age := time.Since(issued)
	if age < -clockAllowance {
		if held, due := r.ahead.due(); due {
			r.log.Warn("a caller's clock is ahead of this server's; what became of its calls cannot be proven",
				"ahead", age.Abs(), "others", held)
		}
		return false
	}
	return age < r.Retention-clockAllowance
}
