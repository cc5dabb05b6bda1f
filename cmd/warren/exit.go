package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"

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
	name := cmd.FullName()
	return exit(exitUsage, "%s (see %s --help)", redact(fmt.Sprintf(format, args...)), name)
}

func onUsageError(_ context.Context, cmd *cli.Command, err error, _ bool) error {
	return usageError(cmd, "%v", err)
}

// report prints the error that ended the tool, on one line, on a terminal with what
// can be done next on another, and returns the exit code.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	var e *exitError
	if !errors.As(err, &e) {
		e = &exitError{exitUsage, errors.New(redact(err.Error()))}
	}
	if e.err != nil {
		prefix := "warren:"
		if hasColour(stderr) {
			prefix = red.paint(prefix)
		}
		_, _ = fmt.Fprintf(stderr, "%s %s\n", prefix, oneLine(strings.TrimPrefix(e.err.Error(), "warren: ")))
	}
	if next := nextStep(err); next != "" && isTerminal(stderr) {
		_, _ = fmt.Fprintf(stderr, "  %s\n", oneLine(next))
	}
	return e.code
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

var urls = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s"]*`)

// redact hides what follows the scheme of anything that looks like a URL: a
// mistyped command line may have one with a password in any place.
func redact(text string) string { return urls.ReplaceAllString(text, "$1***") }

// oneLine joins the lines of joined errors, and blanks what cannot be printed,
// terminal controls among it: messages may come from servers.
func oneLine(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "\nwarren: ", "; ")
	text = strings.ReplaceAll(text, "\n", "; ")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text))
}
