package check

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// access is one call of a register: what is asked for, and what was answered. A call
// whose outcome is unknown may have had its effect at any time since, or may not.
type access struct {
	call        *call
	client      string
	process     string
	from, to    time.Duration // to: when the first answer was there
	answered    bool
	value       string // what was read or found
	unchanged   bool
	notExecuted bool
}

// registers judges each register by itself. It is empty at first.
func (j *judge) registers(g *gathered) (files []string, err error) {
	byKey := map[string][]access{}
	for _, c := range g.order {
		if c.made == 0 || c.op == nil {
			continue
		}
		byKey[c.op.Key] = append(byKey[c.op.Key], c.access())
	}
	over := time.Now().Add(j.o.Linearize)
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		accesses := byKey[key]
		// Where a handler may run twice, a register is not promised to be one.
		if slices.ContainsFunc(accesses, func(a access) bool { return !once(a.call.mode) }) {
			continue
		}
		ops := operations(prune(accesses), g.last, j.slack(accesses, g))
		left := time.Until(over)
		result := porcupine.Unknown
		if left > 0 {
			result = porcupine.CheckOperationsTimeout(register, ops, left)
		}
		if result == porcupine.Unknown {
			j.undecided(RegisterLinearizes, fmt.Sprintf(
				"register %q: its %d operations were not decided within %v, which is for all registers", key, len(ops), j.o.Linearize))
			continue
		}
		what := fmt.Sprintf("register %q: its %d operations have no order that explains them", key, len(ops))
		j.holds(RegisterLinearizes, result == porcupine.Ok, "", func() string { return what })
		if result == porcupine.Illegal {
			j.about(RegisterLinearizes, what, accesses)
		}
		if result == porcupine.Illegal && j.o.Visualise != "" {
			path, err := visualise(j.o.Visualise, key, ops, max(time.Until(over), time.Second))
			if err != nil {
				return files, err
			}
			files = append(files, path)
		}
	}
	return files, nil
}

// about has an example show the calls.
func (j *judge) about(name Name, what string, accesses []access) {
	i := j.invariants[name]
	n := slices.IndexFunc(i.Examples, func(x Example) bool { return x.What == what })
	if n < 0 {
		return // there are enough of them
	}
	for _, a := range accesses {
		i.Examples[n].calls = append(i.Examples[n].calls, a.call.id)
	}
}

// slack is by how much operations are taken to be longer than they were: times of
// different processes are no more exact than the system's clock was steady.
func (j *judge) slack(accesses []access, g *gathered) time.Duration {
	if slices.ContainsFunc(accesses, func(a access) bool { return a.process != accesses[0].process }) {
		return g.skew()
	}
	return 0
}

// access joins all that is known of the call: made several times with one ID, it is
// one operation, from the first time on.
func (c *call) access() access {
	a := access{call: c, from: math.MaxInt64, to: math.MaxInt64}
	answer := func(at time.Duration, value string, unchanged bool) {
		if at < a.to {
			a.answered, a.to, a.value, a.unchanged = true, at, value, unchanged
		}
	}
	for i := range c.invocations {
		v := &c.invocations[i]
		if v.calls > 0 && v.at < a.from {
			a.from, a.client, a.process = v.at, v.client, v.process
		}
		if v.ok {
			answer(v.ended, v.value, v.noEffect)
		}
	}
	a.notExecuted = c.evidence().outcome == warren.NotExecuted && !c.copied
	for i := range c.resolutions {
		r := &c.resolutions[i]
		switch {
		case r.state == string(client.Completed) && r.digest != (digest{}):
			answer(r.at, r.value, r.noEffect)
		case r.state == string(client.Canceled) && r.outcome == warren.NotExecuted:
			a.notExecuted = !a.answered
		}
	}
	return a
}

// prune leaves out what was not executed, and what decides nothing and makes the
// search explode: unknown reads, and unknown writes of values that nobody has seen. Were one of these carried out,
// it could as well have been after all others.
func prune(accesses []access) []access {
	accesses = slices.DeleteFunc(slices.Clone(accesses), func(a access) bool { return a.notExecuted })
	for {
		seen := map[string]bool{}
		for _, a := range accesses {
			switch op := a.call.op; {
			case a.answered && op.Name != history.OpWrite:
				seen[a.value] = true
			case !a.answered && op.Name == history.OpCAS:
				seen[op.Old] = true
			}
		}
		left := slices.DeleteFunc(slices.Clone(accesses), func(a access) bool {
			return !a.answered && (a.call.op.Name == history.OpRead || !seen[a.call.op.New])
		})
		if len(left) == len(accesses) {
			return left
		}
		accesses = left
	}
}

// input and output are porcupine's of an operation.
type input struct{ op *history.Op }

type output struct {
	known, unchanged bool
	value            string
}

func operations(accesses []access, last, slack time.Duration) []porcupine.Operation {
	lanes := map[string]int{}
	for _, a := range accesses {
		if name := a.process + " " + a.client; a.answered && lanes[name] == 0 {
			lanes[name] = len(lanes) + 1
		}
	}
	ops := make([]porcupine.Operation, 0, len(accesses))
	open := len(lanes)
	for _, a := range accesses {
		o := porcupine.Operation{
			Input: input{a.call.op}, Output: output{a.answered, a.unchanged, a.value},
			Call: int64(a.from - slack), Return: int64(a.to + slack), Metadata: a.call.id,
		}
		if a.answered {
			o.ClientId = lanes[a.process+" "+a.client] - 1
		} else {
			// Open to the end, and so on a line of its own.
			o.Return, o.ClientId = int64(last+slack+1), open
			open++
		}
		ops = append(ops, o)
	}
	return ops
}

// register is the model of one: its state is the value that it holds.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, in, out any) (bool, any) {
		held, op, o := state.(string), in.(input).op, out.(output) //nolint:errcheck // they are what operations puts there
		switch op.Name {
		case history.OpRead:
			return !o.known || o.value == held, held
		case history.OpWrite:
			return true, op.New
		default: // a compare-and-set
			swaps := held == op.Old
			if o.known && (o.unchanged == swaps || o.value != held) {
				return false, held
			}
			if swaps {
				return true, op.New
			}
			return true, held
		}
	},
	DescribeOperation: func(in, out any) string {
		op, o := in.(input).op, out.(output) //nolint:errcheck // they are what operations puts there
		text := op.Name
		switch op.Name {
		case history.OpWrite:
			text += fmt.Sprintf(" %q", op.New)
		case history.OpCAS:
			text += fmt.Sprintf(" %q to %q", op.Old, op.New)
		}
		switch {
		case !o.known:
			return text + ": unknown"
		case op.Name == history.OpWrite:
			return text
		case o.unchanged && op.Name == history.OpCAS:
			return text + fmt.Sprintf(": found %q", o.value)
		case op.Name == history.OpCAS:
			return text + ": done"
		default:
			return text + fmt.Sprintf(": %q", o.value)
		}
	},
	DescribeState: func(state any) string { return fmt.Sprintf("%q", state) },
}

// visualise writes the operations of a register as a page for a browser.
func visualise(folder, key string, ops []porcupine.Operation, limit time.Duration) (string, error) {
	_, info := porcupine.CheckOperationsVerbose(register, ops, limit)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("check: %w", err)
	}
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.') {
			return r
		}
		return '_'
	}, key)
	for n := 1; ; n++ {
		path := filepath.Join(folder, "register-"+name+".html")
		if n > 1 {
			path = filepath.Join(folder, fmt.Sprintf("register-%s.%d.html", name, n))
		}
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("check: %w", err)
		}
		if err := errors.Join(porcupine.Visualize(register, info, file), file.Close()); err != nil {
			return "", fmt.Errorf("check: %w", err)
		}
		return path, nil
	}
}
