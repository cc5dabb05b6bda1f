package bench

import (
	"syscall"
	"time"
)

// pause sleeps for about so long, or less, and is late by less than Go's timers.
func pause(d time.Duration) {
	length := syscall.NsecToTimespec(d.Nanoseconds())
	_ = syscall.Nanosleep(&length, nil) // a signal may end it
}
