package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v3"
)

const deadDropDescription = `Removes parked calls of METHOD for good, without running them. On a terminal it asks
first; elsewhere --yes is needed. Calls that are parked meanwhile stay.

Examples:
   warren dead drop orders.place 4f1c2d6e-97a3-4b52-8f0e-2a4d6c1b9e35
   warren dead drop --yes --all orders.place`

func deadDropCommand() *cli.Command {
	return &cli.Command{
		Name:        "drop",
		Usage:       "remove parked calls for good",
		ArgsUsage:   "METHOD CALL_ID | --all METHOD",
		Description: deadDropDescription,
		Flags: deadFlags(append(selectionFlags(),
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
		)...),
		Action: deadDrop,
	}
}

// deadDropResult is what `warren dead drop --json` prints, of a run too that an error
// has ended.
type deadDropResult struct {
	Method  string `json:"method"`
	Dropped int    `json:"dropped"`
	Left    int    `json:"left"`
}

func deadDrop(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	s, err := readSelection(cmd)
	if err != nil {
		return err
	}
	ask := func(string) error { return nil }
	if !cmd.Bool("yes") {
		stdin, ok := cmd.Root().Reader.(*os.File)
		if !ok || !isTerminal(stdin) {
			return usageError(cmd, "there is no terminal to ask at: give --yes")
		}
		ask = func(what string) error { return askToDrop(ctx, stdin, out.stderr, what) }
	}
	q, err := openDeadQueue(ctx, cmd, s.method)
	if err != nil {
		return err
	}
	r := deadDropResult{Method: s.method, Left: q.ready}
	err = endDead(q, dropCalls(ctx, q, &s, &r, ask))
	switch {
	case out.json:
		return firstError(out.object(r), err)
	case r.Dropped > 0 || err == nil:
		return firstError(out.printf("dropped %s of %s, %d left\n", count(r.Dropped, "call"), r.Method, r.Left), err)
	}
	return err
}

func dropCalls(ctx context.Context, q *deadQueue, s *deadSelection, r *deadDropResult, ask func(what string) error) error {
	drop := func(p *parked) error {
		err := q.remove(p)
		if err == nil {
			r.Dropped++
			r.Left--
		}
		return err
	}
	if s.all {
		if n := min(s.limit, q.ready); n > 0 {
			if err := ask(count(n, "parked call") + " of " + q.method); err != nil {
				return err
			}
		}
		return q.each(ctx, s.limit, drop)
	}
	var found []*parked
	err := q.each(ctx, q.ready, func(p *parked) error {
		if p.Body = nil; s.matches(p) {
			found = append(found, p)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		return s.missing()
	}
	what := fmt.Sprintf("%s of %s with the ID %.130q", count(len(found), "parked call"), q.method, s.callID)
	if err := ask(what); err != nil {
		return err
	}
	for _, p := range found {
		if err := drop(p); err != nil {
			return err
		}
	}
	return nil
}

// askToDrop returns nil if the person at the terminal says yes.
func askToDrop(ctx context.Context, terminal io.Reader, prompt io.Writer, what string) error {
	_, _ = fmt.Fprintf(prompt, "Drop %s for good? [y/N] ", what)
	answers := make(chan string, 1)
	go func() { // a read from a terminal has no other end than the person's or the process's
		line, err := bufio.NewReader(terminal).ReadString('\n')
		if err != nil {
			close(answers)
			return
		}
		answers <- line
	}()
	select {
	case <-ctx.Done():
		return interrupted()
	case answer, ok := <-answers:
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			return nil
		}
		if !ok {
			return exit(exitUsage, "there was no answer: give --yes")
		}
		return exit(exitInternal, "nothing was dropped")
	}
}
