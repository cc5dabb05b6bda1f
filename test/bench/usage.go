package bench

import (
	"runtime"
	"time"
)

// usage is what a process has used since it began, or between two looks.
type usage struct {
	CPU    time.Duration `json:"cpu"`
	Allocs uint64        `json:"allocs"` // heap objects
	Wire   int64         `json:"wire"`   // bytes to and from the broker
}

func usageNow() (usage, error) {
	cpu, err := processCPU()
	if err != nil {
		return usage{}, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{CPU: cpu, Allocs: m.Mallocs, Wire: traffic.Load()}, nil
}

func (u usage) since(earlier usage) usage {
	return usage{CPU: u.CPU - earlier.CPU, Allocs: u.Allocs - earlier.Allocs, Wire: u.Wire - earlier.Wire}
}
