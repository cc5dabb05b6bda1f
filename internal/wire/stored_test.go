package wire_test

import (
	"bytes"
	"encoding/binary"
	"maps"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

// replies draws what handlers may answer.
func replies() *rapid.Generator[*warren.Reply] {
	return rapid.Custom(func(t *rapid.T) *warren.Reply {
		return &warren.Reply{
			ContentType: bytesAsText().Draw(t, "content type"), ContentEncoding: bytesAsText().Draw(t, "content encoding"),
			Header: headers().Draw(t, "header"), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
		}
	})
}

func sameReply(a, b *warren.Reply) bool {
	return a.ContentType == b.ContentType && a.ContentEncoding == b.ContentEncoding && maps.Equal(a.Header, b.Header) &&
		bytes.Equal(a.Body, b.Body)
}

// sameError compares what travels of errors and is stored.
func sameError(a, b *warren.Error) bool {
	return a.Code == b.Code && a.Reason == b.Reason && a.Outcome == b.Outcome && a.Message == b.Message &&
		a.RetryAfter == b.RetryAfter && a.Incident == b.Incident && maps.Equal(a.Details, b.Details)
}

func TestStoredReplyGoesThereAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sent := replies().Draw(t, "reply")
		stored := wire.EncodeStored(sent, nil)
		got, e, err := wire.DecodeStored(stored)
		if err != nil || e != nil || !sameReply(got, sent) || got.Replayed {
			t.Fatalf("%+v is stored as %q and read as %+v, %v, %v", sent, stored, got, e, err)
		}
		again := &warren.Reply{
			ContentType: got.ContentType, ContentEncoding: got.ContentEncoding, Header: maps.Clone(got.Header), Body: bytes.Clone(got.Body),
			// What is of one delivery is no part of how the call ended.
			CallID: "7", Attempts: 3, Replayed: true,
		}
		if !bytes.Equal(wire.EncodeStored(again, nil), stored) {
			t.Fatalf("the same reply is stored as other bytes: %q", stored)
		}
	})
}

// What a caller is told of a stored error is what it was told the first time.
func TestStoredErrorGoesThereAndBackAsItWasSent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sent := failures().Draw(t, "error")
		reply, got, err := wire.DecodeStored(wire.EncodeStored(nil, sent))
		if err != nil || reply != nil || got.Replayed {
			t.Fatalf("%+v is read as %+v, %+v, %v", sent, reply, got, err)
		}
		got.Replayed = sent.Replayed // of one delivery
		first, again := wire.EncodeError(call, sent, wire.Transient), wire.EncodeError(call, got, wire.Transient)
		if !reflect.DeepEqual(first, again) {
			t.Fatalf("sent as %+v, and from the store as %+v", first, again)
		}
		if !bytes.Equal(wire.EncodeStored(nil, sent), wire.EncodeStored(nil, got)) {
			t.Fatal("the same error is stored as other bytes")
		}
	})
}

// Bytes that others keep must stay readable: they are as they have always been.
func TestStoredBytesDoNotChange(t *testing.T) {
	t.Parallel()
	for want, stored := range map[string][]byte{
		"\x01\x01\x0atext/plain\x00\x02\x01a\x011\x01b\x00\x02hi": wire.EncodeStored(&warren.Reply{
			ContentType: "text/plain", Header: warren.Header{"b": "", "a": "1"}, Body: []byte("hi"),
		}, nil),
		"\x01\x01\x00\x00\x00\x00": wire.EncodeStored(&warren.Reply{}, nil),
		"\x01\x02\x09not_found\x04gone\x08executed\x01\x03i-1\x02no\x01\x01k\x01v": wire.EncodeStored(nil, &warren.Error{
			Code: warren.CodeNotFound, Reason: "gone", Outcome: warren.Executed, RetryAfter: -time.Hour, Incident: "i-1", Message: "no",
			Details: map[string]string{"k": "v"},
		}),
	} {
		if string(stored) != want {
			t.Errorf("stored as %q; want %q", stored, want)
		}
	}
}

func TestStoredErrorOfALaterVersionIsStillAnError(t *testing.T) {
	t.Parallel()
	_, e, err := wire.DecodeStored([]byte("\x01\x02\x0aover_quota\x00\x08executed\x00\x00\x00\x00"))
	if err != nil || e == nil || e.Code != warren.CodeUnknown || e.Outcome != warren.Executed {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestStoredBytesThatAreDamagedAreRefused(t *testing.T) {
	t.Parallel()
	const long = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" // the largest length that can be written
	failure := func(code, reason, outcome, retry, incident, message, details string) string {
		b := []byte{1, 2}
		for _, part := range []string{code, reason, outcome} {
			b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
		}
		b = append(b, retry...)
		for _, part := range []string{incident, message} {
			b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
		}
		return string(b) + details
	}
	if _, _, err := wire.DecodeStored([]byte(failure("internal", "panic", "executed", "\x00", "i", "m", "\x00"))); err != nil {
		t.Errorf("the test builds no errors: %v", err)
	}
	for name, b := range map[string]string{
		"nothing":                 "",
		"a version alone":         "\x01",
		"another version":         "\x02\x01\x00\x00\x00\x00",
		"neither":                 "\x01\x03\x00\x00\x00\x00",
		"cut":                     "\x01\x01\x00\x00\x00",
		"more":                    "\x01\x01\x00\x00\x00\x00\x00",
		"a body that is not":      "\x01\x01\x00\x00\x00\x05abcd",
		"a length of 2^64-1":      "\x01\x01" + long,
		"a length over 64 bits":   "\x01\x01" + strings.Repeat("\xff", 10) + "\x01",
		"a length of two forms":   "\x01\x01\x80\x00\x00\x00\x00",
		"so many headers":         "\x01\x01\x00\x00" + long,
		"too many headers":        "\x01\x01\x00\x00\x03\x01a\x00\x00",
		"headers out of order":    "\x01\x01\x00\x00\x02\x01b\x00\x01a\x00\x00",
		"a header that is double": "\x01\x01\x00\x00\x02\x01a\x00\x01a\x00\x00",
		"a reason that is none":   failure("internal", "So what", "executed", "\x00", "", "", "\x00"),
		"no outcome":              failure("internal", "", "maybe", "\x00", "", "", "\x00"),
		"a retry-after over 7 d":  failure("internal", "", "executed", string(binary.AppendVarint(nil, 604_800_001)), "", "", "\x00"),
		"a retry-after below -1":  failure("internal", "", "executed", string(binary.AppendVarint(nil, -2)), "", "", "\x00"),
		"an incident of two":      failure("internal", "", "executed", "\x00", "a b", "", "\x00"),
		"a message too long":      failure("internal", "", "executed", "\x00", "", strings.Repeat("m", 4097), "\x00"),
		"a message of no text":    failure("internal", "", "executed", "\x00", "", "\xff", "\x00"),
	} {
		reply, e, err := wire.DecodeStored([]byte(b))
		if err == nil || reply != nil || e != nil {
			t.Errorf("%s: %+v, %+v, %v", name, reply, e, err)
		}
	}
}

// A length that lies costs no memory.
func TestDamagedLengthsTakeNoMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, b := range []string{"\x01\x01\xff\xff\xff\x7f", "\x01\x01\x00\x00\xff\xff\xff\x7f\x00", "\x01\x01\x00\x00\x00\xff\xff\xff\x7f"} {
		if _, _, err := wire.DecodeStored([]byte(b)); err == nil {
			t.Errorf("%q is accepted", b)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes", n)
	}
}

// FuzzDecodeStored: what is read can be written to the same effect; a reply to the
// same bytes.
func FuzzDecodeStored(f *testing.F) {
	f.Add(wire.EncodeStored(&warren.Reply{}, nil))
	f.Add(wire.EncodeStored(&warren.Reply{ContentType: "a/b", Header: warren.Header{"x": "y", "z": ""}, Body: []byte("body")}, nil))
	f.Add(wire.EncodeStored(nil, &warren.Error{}))
	f.Add(wire.EncodeStored(nil, &warren.Error{
		Code: warren.CodeAborted, Reason: "r", Outcome: warren.Executed, RetryAfter: 1, Incident: "i", Message: "m", Details: map[string]string{"k": "v"},
	}))
	f.Add([]byte("\x01\x02\x0aover_quota\x00\x08executed\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		reply, e, err := wire.DecodeStored(b)
		if (err == nil) != ((reply == nil) != (e == nil)) || err != nil && (reply != nil || e != nil) {
			t.Fatalf("%q: %+v, %+v, %v", b, reply, e, err)
		}
		if err != nil {
			return
		}
		again := wire.EncodeStored(reply, e)
		if reply != nil && !bytes.Equal(again, b) {
			t.Fatalf("%q is written as %q", b, again)
		}
		if _, e2, err := wire.DecodeStored(again); err != nil || e != nil && !sameError(e, e2) {
			t.Fatalf("%q: %+v becomes %+v, %v", b, e, e2, err)
		}
	})
}
