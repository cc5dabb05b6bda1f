package policy

import (
	"slices"
	"time"
)

// Wait is how long a request that came with the last measurement has to wait.
func (s *Shedder) Wait() time.Duration { return s.wait }

// NeverRepeated are the reasons of errors that are not repeated whatever the policy.
func NeverRepeated() []string { return slices.Clone(neverRepeated[:]) }
