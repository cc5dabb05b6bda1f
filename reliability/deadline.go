package reliability

import "time"

const (
	replyPart  = 50 // of what a handler has left is kept for its reply
	replyLeast = time.Millisecond
	replyMost  = 100 * time.Millisecond
)

// OnwardDeadline returns the deadline of calls that a handler makes on behalf of
// a call that ends at deadline. It is earlier, so that the handler can still
// answer when they fail: by a fiftieth of the time left, 1 ms to 100 ms. So
// deadlines shrink from hop to hop. It is never past the deadline, and before
// now only if the deadline is.
func OnwardDeadline(now, deadline time.Time) time.Time {
	left := deadline.Sub(now)
	if left <= 0 {
		return deadline
	}
	keep := min(max(left/replyPart, replyLeast), replyMost)
	return now.Add(max(left-keep, 0))
}
