//go:build !linux

package bench

import "time"

// pause sleeps for about so long.
func pause(d time.Duration) { time.Sleep(d) }
