package policy

import "time"

// Wait is how long a request that came with the last measurement has to wait.
func (s *Shedder) Wait() time.Duration { return s.wait }
