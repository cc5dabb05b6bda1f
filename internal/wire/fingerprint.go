package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/warren-rpc/warren"
)

// Fingerprint returns what tells requests apart that bear the same call ID: the
// SHA-256 of content type, content encoding, headers and body. Of the headers,
// trace context (traceparent, tracestate and baggage, in upper or lower case) does
// not count, nor does what volatile has, by its exact name: they may differ between
// attempts of one call.
func Fingerprint(req *warren.Request, volatile map[string]bool) [sha256.Size]byte {
	h := sha256.New()
	fingerprint(h, req, volatile)
	return [sha256.Size]byte(h.Sum(nil))
}

// fingerprint writes what is hashed: each part after its length, the headers after
// their number and in the order of their keys. Different requests are different
// bytes. w does not fail.
func fingerprint(w io.Writer, req *warren.Request, volatile map[string]bool) {
	keys := slices.Sorted(maps.Keys(req.Header))
	keys = slices.DeleteFunc(keys, func(key string) bool { return volatile[key] || isTraceContext(key) })
	b := make([]byte, 0, 256)
	b = appendPart(appendPart(b, req.ContentType), req.ContentEncoding)
	b = binary.AppendUvarint(b, uint64(len(keys)))
	for _, key := range keys {
		b = appendPart(appendPart(b, key), req.Header[key])
	}
	b = binary.AppendUvarint(b, uint64(len(req.Body)))
	_, _ = w.Write(b)
	_, _ = w.Write(req.Body)
}

// isTraceContext tells the headers that W3C's trace context and baggage use.
func isTraceContext(key string) bool {
	return strings.EqualFold(key, "traceparent") || strings.EqualFold(key, "tracestate") || strings.EqualFold(key, "baggage")
}
