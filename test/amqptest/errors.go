package amqptest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// errorAt is an error over a method, which may be nil.
func errorAt(m codec.Method, code uint16, format string, args ...any) *codec.Error {
	e := &codec.Error{Code: code, Text: fmt.Sprintf(format, args...)}
	if m != nil {
		e.ClassID, e.MethodID = m.ID()
	}
	return e
}

// reasonAt is what a fault closes with.
func reasonAt(m codec.Method, r *closeReason) *codec.Error { return errorAt(m, r.code, "%s", r.text) }

// codecError is the error as the broker sends it. Anything but a codec.Error is a defect of ours.
func codecError(err error) *codec.Error {
	if e, ok := errors.AsType[*codec.Error](err); ok {
		return e
	}
	return &codec.Error{Code: codec.InternalError, Text: err.Error()}
}

// closesChannel says which codes close a channel and not the connection.
func closesChannel(code uint16) bool {
	switch code {
	case codec.ContentTooLarge, codec.NoRoute, codec.NoConsumers, codec.AccessRefused, codec.NotFound,
		codec.ResourceLocked, codec.PreconditionFailed:
		return true
	default:
		return false
	}
}

const maxReplyText = 255

// replyText shortens as RabbitMQ does.
func replyText(e *codec.Error) string {
	text := e.Error()
	if len(text) > maxReplyText {
		return text[:maxReplyText-3] + "..."
	}
	return text
}

// octets prints bytes as RabbitMQ's texts have them: as a string if they are printable, else in numbers.
func octets(b []byte) string {
	b = b[:min(len(b), maxReplyText)]
	printable := len(b) > 0
	for _, c := range b {
		printable = printable && (c >= ' ' && c <= '~')
	}
	if printable {
		return "<<" + strconv.Quote(string(b)) + ">>"
	}
	numbers := make([]string, len(b))
	for i, c := range b {
		numbers[i] = strconv.Itoa(int(c))
	}
	return "<<" + strings.Join(numbers, ",") + ">>"
}

// refusal is RabbitMQ's text for a frame that is none.
func refusal(f codec.Refused, frameMax uint32) string {
	flaw := "unknown_frame"
	switch {
	case f.Payload == nil:
		flaw = fmt.Sprintf("{frame_too_large,%d,%d}", f.Size, frameMax-codec.FrameOverhead)
	case f.End != 0xCE:
		flaw = fmt.Sprintf("{invalid_frame_end_marker,%d}", f.End)
	}
	return fmt.Sprintf("type %d, all octets = %s: %s", f.Type, octets(f.Payload), flaw)
}

// unknownFrame is the error over a frame that is too short for its type.
func unknownFrame(f codec.Frame) *codec.Error {
	return errorAt(nil, codec.FrameError, "type %d, all octets = %s: unknown_frame", f.Type, octets(f.Payload))
}

// isTableFlaw says whether a method cannot be decoded because of what is inside of a table. If it can be told that
// only octets are missing at the end, or are too many there, it is something else.
func isTableFlaw(payload []byte, flaw *codec.Error) bool {
	const leftOver = "left over"
	if strings.Contains(flaw.Text, leftOver) {
		return false
	}
	padded := append(slices.Clip(payload), make([]byte, 2*maxReplyText)...)
	_, err := codec.DecodeMethod(padded)
	return err != nil && !strings.Contains(err.Error(), leftOver)
}
