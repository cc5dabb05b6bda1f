package wire_test

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

// fingerprinted draws requests.
func fingerprinted() *rapid.Generator[*warren.Request] {
	return rapid.Custom(func(t *rapid.T) *warren.Request {
		r := replies().Draw(t, "request")
		return &warren.Request{ContentType: r.ContentType, ContentEncoding: r.ContentEncoding, Header: r.Header, Body: r.Body}
	})
}

// What is hashed of headers can be read back, so no two requests have the same.
func TestFingerprintHashesAllHeadersWithoutAmbiguity(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		req := fingerprinted().Draw(t, "request")
		hashed := bytes.NewBuffer(wire.AppendHeaders(nil, req.Header, nil))
		number := func() uint64 {
			n, err := binary.ReadUvarint(hashed)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		part := func() string { return string(hashed.Next(int(number()))) }
		back := warren.Header{}
		var keys []string
		for range number() {
			key := part()
			keys = append(keys, key)
			back[key] = part()
		}
		if !maps.Equal(back, req.Header) || hashed.Len() != 0 || !slices.IsSorted(keys) {
			t.Fatalf("%v is hashed as %v and %d bytes more", req.Header, back, hashed.Len())
		}
	})
}

// The first half of a fingerprint is the proof, the second of the headers alone.
func TestFingerprintBeginsWithTheProof(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		req, other := fingerprinted().Draw(t, "request"), fingerprinted().Draw(t, "other")
		other.ContentType, other.ContentEncoding, other.Body = req.ContentType, req.ContentEncoding, req.Body
		f, g, proof := wire.Fingerprint(req, nil), wire.Fingerprint(other, nil), warren.ProofOf(req.ContentType, req.ContentEncoding, req.Body)
		if !bytes.Equal(f[:16], proof[:]) || !bytes.Equal(g[:16], proof[:]) {
			t.Fatalf("%x and %x do not begin with %v", f, g, proof)
		}
		if same := bytes.Equal(f[16:], g[16:]); !same && maps.Equal(req.Header, other.Header) {
			t.Fatalf("%v has two fingerprints", req.Header)
		}
	})
}

// Each part counts, and nothing moves from one to the next.
func TestFingerprintsOfDifferentRequestsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[[32]byte]int{{}: -1}
	for i, req := range []warren.Request{
		{}, {ContentType: "a"}, {ContentEncoding: "a"}, {Body: []byte("a")}, {ContentType: "a", ContentEncoding: "b"}, {ContentType: "ab"},
		{Header: warren.Header{"a": ""}}, {Header: warren.Header{"": "a"}}, {Header: warren.Header{"a": "b"}}, {Header: warren.Header{"ab": ""}},
		{Header: warren.Header{"a": "b", "c": "d"}}, {Header: warren.Header{"a": "b"}, Body: []byte("\x01c\x01d")}, {Body: []byte{0}},
		{Header: warren.Header{"A": "b"}}, {Header: warren.Header{"traceparents": "1"}},
	} {
		f := wire.Fingerprint(&req, nil)
		if j, same := seen[f]; same {
			t.Errorf("%d and %d have the same fingerprint", i, j)
		}
		seen[f] = i
	}
}

func TestWhatIsVolatileDoesNotCountInFingerprints(t *testing.T) {
	t.Parallel()
	volatile := map[string]bool{"sent-at": true, "try": true, "kept": false}
	rapid.Check(t, func(t *rapid.T) {
		req := fingerprinted().Draw(t, "request")
		want := wire.Fingerprint(req, volatile)
		other := *req
		other.Header = maps.Clone(req.Header)
		if other.Header == nil {
			other.Header = warren.Header{}
		}
		maps.Copy(other.Header, rapid.MapOf(rapid.SampledFrom([]string{
			"traceparent", "Traceparent", "TRACESTATE", "tracestate", "baggage", "Baggage", "sent-at", "try",
		}), bytesAsText()).Draw(t, "volatile"))
		// What names a delivery or an attempt is no part of the request either.
		other.CallID, other.Method, other.Attempt, other.Redelivered = "other", "other", 2, true
		other.Deadline, other.Issued, other.Caller, other.UserID = time.Now(), time.Now(), "other", "other"
		if got := wire.Fingerprint(&other, volatile); got != want {
			t.Fatalf("%v makes another fingerprint", other.Header)
		}
		for _, key := range []string{"kept", "Sent-At"} {
			other.Header[key] = "x"
			if wire.Fingerprint(&other, volatile) == want {
				t.Fatalf("%s does not count", key)
			}
			delete(other.Header, key)
		}
	})
}
