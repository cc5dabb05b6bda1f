// Package patience says how long tests wait for what should happen soon: so long
// that a machine that is busy with other things is in time, too.
//
// WARREN_PATIENCE, a number above 0, multiplies all these waits, those for brokers
// to boot among them: 4 for a machine on which the tests get a quarter of what they
// need. No test measures whether something is fast, so patience costs nothing but
// the time until a failure is seen.
package patience

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// Env is the environment variable.
const Env = "WARREN_PATIENCE"

var factor = func() float64 {
	text := os.Getenv(Env)
	if text == "" {
		return 1
	}
	f, err := parse(text)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return f
}()

func parse(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f > 0 && f <= 1000) {
		return 0, fmt.Errorf("%s=%s: want a number above 0, and at most 1000", Env, text)
	}
	return f, nil
}

// Soon is how long anything may take that should happen soon: a minute.
var Soon = Times(time.Minute)

// Brief is a deadline that shall pass, and leaves time to get that far: two seconds.
var Brief = Times(2 * time.Second)

// Times returns the duration, multiplied.
func Times(d time.Duration) time.Duration { return time.Duration(factor * float64(d)) }

// Eventually waits until the condition holds.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Soon); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", Soon, what)
		}
	}
}
