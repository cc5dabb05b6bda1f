package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
)

// The exit codes, on which scripts rely.
const (
	exitInternal    = 1
	exitUsage       = 2
	exitDeadline    = 3
	exitNoServer    = 4
	exitRemote      = 5
	exitBroker      = 6
	exitBroken      = 7
	exitInterrupted = 130 // what shells say of a command that SIGINT ended
)

// exitError ends the tool with an exit code. All errors that commands return
// are of this type; others come from the parser of the command line.
type exitError struct {
	code int
	err  error // nil if the output has said it
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exit(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

// interrupted is what a command returns that a signal has ended.
func interrupted() error { return exit(exitInterrupted, "interrupted") }

// usageError says what is wrong with the command line, and where help is.
func usageError(cmd *cli.Command, format string, args ...any) error {
	return exit(exitUsage, "%s (see %s --help)", screenOf(cmd.Root().ErrWriter).redact(fmt.Sprintf(format, args...)), cmd.FullName())
}

func onUsageError(_ context.Context, cmd *cli.Command, err error, _ bool) error {
	return usageError(cmd, "%v", err)
}

// jsonFailure is what --json prints of an error, unless the command has printed a result
// that tells it.
type jsonFailure struct {
	OK       bool   `json:"ok"`
	Error    string `json:"error"`
	ExitCode int    `json:"exit_code"`
}

// report prints the error that ended the tool, on one line, on a terminal with what
// can be done next on another, and returns the exit code. If it was asked for JSON
// the error is the result, too, unless there is one.
func report(stdout, stderr *screen, asJSON bool, err error) int {
	if err == nil {
		return 0
	}
	var e *exitError
	if !errors.As(err, &e) {
		e = &exitError{exitUsage, errors.New(stderr.redact(err.Error()))}
	}
	if e.err != nil {
		text := oneLine(stderr.hide(strings.TrimPrefix(e.err.Error(), "warren: ")))
		prefix := "warren:"
		if hasColour(stderr) {
			prefix = red.escape(prefix)
		}
		_, _ = fmt.Fprintf(stderr.raw, "%s %s\n", prefix, text)
		if asJSON && !stdout.result {
			// What cannot be written cannot be told either.
			_ = writeObject(stdout.raw, jsonFailure{Error: text, ExitCode: e.code})
		}
	}
	if next := nextStep(err); next != "" && isTerminal(stderr) {
		_, _ = fmt.Fprintf(stderr, "  %s\n", oneLine(next))
	}
	return e.code
}

// asksForJSON reports whether a command line has the flag --json.
func asksForJSON(args []string) bool {
	asks := false
	for _, arg := range args {
		if arg == "--" {
			break
		}
		name, value, given := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		if name != "-json" && arg != "-json" {
			continue
		}
		asks = true
		if given {
			asks, _ = strconv.ParseBool(value)
		}
	}
	return asks
}

// callExitCode maps the error of a call to the exit code.
func callExitCode(e *warren.Error) int {
	switch {
	case e.Code == warren.CodeDeadlineExceeded && e.Reason != warren.ReasonNotConnected:
		return exitDeadline
	case e.Remote:
		return exitRemote
	}
	switch e.Reason {
	case warren.ReasonNotConnected, warren.ReasonNotPermitted, warren.ReasonBlocked:
		return exitBroker
	case warren.ReasonNoRoute, warren.ReasonNoServer:
		return exitNoServer
	case warren.ReasonBadRequest, warren.ReasonRequestTooLarge:
		return exitUsage
	case warren.ReasonBadReply, warren.ReasonReplyTooLarge:
		return exitRemote
	}
	if e.Code == warren.CodeCanceled {
		return exitInterrupted
	}
	return exitInternal
}
