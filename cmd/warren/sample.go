package main

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
)

// sample is one of the services of `warren serve`. Their bodies are plain text,
// so that callers of the plain recipe understand them.
type sample struct {
	name     string
	register func(s *server.Server, m server.Method) error
}

func samples() []sample {
	return []sample{
		{"rpc_queue", typed(func(_ context.Context, n fibonacciIndex) (string, error) {
			return strconv.FormatUint(fibonacci(n), 10), nil
		})},
		{"users.email", typed(email)},
		{"sample.echo", func(s *server.Server, m server.Method) error { return s.HandleRaw(m, echo) }},
		{"sample.sleep", typed(sleep)},
		{"sample.fail", typed(func(_ context.Context, code failure) (string, error) {
			return "", warren.Errorf(code.Code, "failed as it was asked to").WithReason("asked_to")
		})},
		{"sample.panic", func(s *server.Server, m server.Method) error {
			return s.HandleRaw(m, func(context.Context, *warren.Request) (*warren.Reply, error) {
				panic("sample.panic was called")
			})
		}},
	}
}

// typed makes the registration of a handler whose bodies are plain text.
func typed[Req any](h func(context.Context, Req) (string, error)) func(*server.Server, server.Method) error {
	return func(s *server.Server, m server.Method) error {
		m.Codec = textCodec{}
		return server.Handle(s, m, h)
	}
}

// textCodec decodes what can read itself from text, and encodes strings.
type textCodec struct{}

func (textCodec) ContentType() string { return "text/plain" }

func (textCodec) Marshal(v any) ([]byte, error) {
	text, ok := v.(string)
	if !ok {
		return nil, fmt.Errorf("a %T is not text", v)
	}
	return []byte(text), nil
}

func (textCodec) Unmarshal(data []byte, v any) error {
	u, ok := v.(encoding.TextUnmarshaler)
	if !ok {
		return fmt.Errorf("a %T cannot be read from text", v)
	}
	return u.UnmarshalText([]byte(strings.TrimSpace(string(data))))
}

// number is a body that is a decimal number.
type number int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *number) UnmarshalText(text []byte) error {
	value, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return errors.New("it must be a decimal number")
	}
	*n = number(value)
	return nil
}

func (n number) within(least, most number) error {
	if n < least || n > most {
		return fmt.Errorf("the number is %d; it must be from %d to %d", n, least, most)
	}
	return nil
}

type fibonacciIndex struct{ number }

// Validate implements server.Validator. Fibonacci's 93rd number is the last
// that fits into 64 bits without a sign, the 92nd with one, as callers in other
// languages may have it.
func (n fibonacciIndex) Validate() error { return n.within(0, 92) }

func fibonacci(n fibonacciIndex) uint64 {
	a, b := uint64(0), uint64(1)
	for range n.number {
		a, b = b, a+b
	}
	return a
}

type userID struct{ number }

// Validate implements server.Validator.
func (id userID) Validate() error { return id.within(1, 1<<53) }

func email(_ context.Context, id userID) (string, error) {
	addresses := map[number]string{
		1: "ada@example.org", 2: "blaise@example.org", 3: "charles@example.org",
		4: "donald@example.org", 5: "edsger@example.org",
	}
	address, ok := addresses[id.number]
	if !ok {
		return "", warren.Errorf(warren.CodeNotFound, "there is no user %d", id.number).WithReason("no_such_user")
	}
	return address, nil
}

func echo(_ context.Context, req *warren.Request) (*warren.Reply, error) {
	return &warren.Reply{
		ContentType: req.ContentType, ContentEncoding: req.ContentEncoding, Header: req.Header, Body: req.Body,
	}, nil
}

type pause struct{ number }

// Validate implements server.Validator.
func (p pause) Validate() error { return p.within(0, number(10*time.Minute/time.Millisecond)) }

func sleep(ctx context.Context, p pause) (string, error) {
	timer := time.NewTimer(time.Duration(p.number) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return strconv.FormatInt(int64(p.number), 10), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// failure is a body that names a code.
type failure struct{ warren.Code }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *failure) UnmarshalText(text []byte) error {
	if err := f.Code.UnmarshalText(text); err != nil {
		return errors.New("it must be the name of a code, like not_found")
	}
	return nil
}
