package proc

import "encoding/json"

// The environment of a child. The first two may also be set by hand, for a
// program that is started without this package.
const (
	// EnvCrash holds the child's Plan.
	EnvCrash = "WARREN_CHAOS_CRASH"
	// EnvSeed seeds the chances of the plan, a decimal number. Default: 0.
	EnvSeed = "WARREN_CHAOS_SEED"

	envRun    = "WARREN_CHAOS_RUN"    // marks what the guard is to end
	envPipes  = "WARREN_CHAOS_PIPES"  // the orders' descriptor and the answers', as "3,4"
	envOffset = "WARREN_CHAOS_OFFSET" // of the clock, as in "-1h0m0s"
)

// The verbs of orders, and of the child's first words.
const (
	verbHello  = "hello"  // the child's: it has called Child
	verbArm    = "arm"    // Text is a Plan
	verbClock  = "clock"  // Text is a duration, the offset
	verbSample = "sample" // answered with Sample
)

// message is what parent and child tell each other: one line of JSON each, in a
// single write, so that a kill cuts none.
type message struct {
	ID     int     `json:"id,omitempty"` // of an order and of its answer
	Verb   string  `json:"verb,omitempty"`
	Text   string  `json:"text,omitempty"`
	Seed   uint64  `json:"seed,omitempty"`
	Error  string  `json:"error,omitempty"`
	Sample *inside `json:"sample,omitempty"`
	Crash  *Crash  `json:"crash,omitempty"` // the child's last words
	Held   *Crash  `json:"held,omitempty"`  // the child holds a call there
}

// inside is what a child knows of itself.
type inside struct {
	Goroutines int    `json:"goroutines"`
	Heap       uint64 `json:"heap"`
}

// Crash says where a process killed itself, or holds a call.
type Crash struct {
	Point  string `json:"point"`  // empty: at none
	Nth    int    `json:"nth"`    // how often the process had reached the point
	Method string `json:"method"` // of the call that was there
	CallID string `json:"call_id"`
}

func (m message) line() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // no field can fail
	}
	return append(b, '\n')
}
