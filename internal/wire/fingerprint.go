package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/warren-rpc/warren"
)

// Fingerprint returns what tells requests apart that bear the same call ID: the proof
// of its content, as [warren.ProofOf], and the first half of the SHA-256 of its
// headers. Of these, trace context (traceparent, tracestate and baggage, in upper or
// lower case) does not count, nor does what volatile has, by its exact name: they may
// differ between attempts of one call.
func Fingerprint(req *warren.Request, volatile map[string]bool) (f [sha256.Size]byte) {
	proof := warren.ProofOf(req.ContentType, req.ContentEncoding, req.Body)
	headers := sha256.Sum256(appendHeaders(make([]byte, 0, 256), req.Header, volatile))
	copy(f[copy(f[:], proof[:]):], headers[:])
	return f
}

// appendHeaders appends what is hashed of headers: their number and, in the order of
// their keys, key and value, each after its length.
func appendHeaders(b []byte, header warren.Header, volatile map[string]bool) []byte {
	if len(header) == 0 {
		return binary.AppendUvarint(b, 0)
	}
	keys := slices.Sorted(maps.Keys(header))
	keys = slices.DeleteFunc(keys, func(key string) bool { return volatile[key] || isTraceContext(key) })
	b = binary.AppendUvarint(b, uint64(len(keys)))
	for _, key := range keys {
		b = appendPart(appendPart(b, key), header[key])
	}
	return b
}

// isTraceContext tells the headers that W3C's trace context and baggage use.
func isTraceContext(key string) bool {
	return strings.EqualFold(key, "traceparent") || strings.EqualFold(key, "tracestate") || strings.EqualFold(key, "baggage")
}
