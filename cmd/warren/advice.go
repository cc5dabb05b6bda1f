package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/warren-rpc/warren"
)

// advised is an error with what a person can do next. It is told on terminals only:
// scripts get one line for each error.
type advised struct {
	error

	next string
}

func (e *advised) Unwrap() error { return e.error }

// advise adds to an error what to do next; none if next is empty.
func advise(err error, next string) error {
	if err == nil || next == "" {
		return err
	}
	return &advised{err, next}
}

// nextStep returns what to do next about an error, empty if nothing is known.
func nextStep(err error) string {
	if e, ok := errors.AsType[*advised](err); ok {
		return e.next
	}
	return ""
}

const adviceNotConnected = "`warren config` shows which broker this is and where that is said; `warren broker` runs one for development"

// callAdvice says what to do about a call that failed.
func callAdvice(e *warren.Error) string {
	switch e.Reason {
	case warren.ReasonNoRoute:
		return fmt.Sprintf("no queue has this name. Is it spelt right? `warren queues %s` looks again; "+
			"`warren serve` serves samples. A server makes the queue when it starts", e.Method)
	case warren.ReasonNoServer:
		return fmt.Sprintf("the queue is there, but no server consumes it: start one, or let the call wait with --wait. "+
			"`warren queues %s` shows what is in line", e.Method)
	case warren.ReasonNotConnected:
		return adviceNotConnected
	case warren.ReasonNotPermitted:
		return "`warren config` shows as which user; `rabbitmqctl list_permissions --vhost VHOST` what it may do"
	case warren.ReasonBlocked:
		return "the broker is short of memory or disk and takes no messages: `rabbitmqctl status` lists its alarms"
	case warren.ReasonPoisoned:
		return fmt.Sprintf("`warren dead show %s %s` shows the parked call", e.Method, shellWord(e.CallID))
	case warren.ReasonOverloaded:
		return fmt.Sprintf("the servers have too much to do: try again later; `warren queues %s` shows what is in line", e.Method)
	case warren.ReasonKeyReused:
		return "another request has had this ID: give this one another by --id"
	}
	if e.Outcome == warren.Unknown && e.CallID != "" {
		return fmt.Sprintf("it may have run: `warren resolve %s %s` asks servers that have a store. "+
			"--timeout gives it more time, `warren ping %s` counts its servers", e.Method, shellWord(e.CallID), e.Method)
	}
	if e.Code == warren.CodeDeadlineExceeded {
		return fmt.Sprintf("--timeout gives it more time; `warren ping %s` counts its servers", e.Method)
	}
	return ""
}

var plainWord = regexp.MustCompile(`^[\w.:@%+=,/][\w.:@%+=,/-]*$`)

// shellWord is text as one word of a command line.
func shellWord(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
