package reliability

import "time"

// Delay is what the next call waits before its second attempt, and whether there is one.
func (h *Hedge[T]) Delay() (time.Duration, bool) { return h.delay() }
