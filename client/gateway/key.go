package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxKey is how many bytes an Idempotency-Key may have.
const maxKey = 255

// Bounds of Config.KeySecret, in bytes.
const (
	minSecret = 16
	maxSecret = 1024
)

// idempotencyKey returns the key of a request, empty if it has none. The key is what
// the header has, quotes included.
func idempotencyKey(h http.Header) (string, *problem) {
	values := h.Values(headerKey)
	if len(values) == 0 {
		return "", nil
	}
	key := strings.Trim(values[0], " \t")
	if len(values) > 1 {
		return "", refusal(http.StatusBadRequest, ReasonBadKey, "there are several headers "+headerKey)
	}
	if key == "" || len(key) > maxKey || strings.IndexFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return "", refusal(http.StatusBadRequest, ReasonBadKey,
			headerKey+" must be 1 to "+strconv.Itoa(maxKey)+" bytes of printable ASCII without blanks")
	}
	return key, nil
}

// callID returns the ID of a call that has a key: who knows the ID can ask servers of
// the call, so it takes a secret. Each part stands behind its length, so that nothing
// can be moved from one to the next.
func callID(secret []byte, subject, route, key string) string {
	h := sha256.New()
	if len(secret) > 0 {
		h = hmac.New(sha256.New, secret)
	}
	var length [8]byte
	for _, part := range []string{subject, route, key} {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		_, _ = h.Write(length[:])
		_, _ = h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// maxTimeout is the longest that a caller may ask for; its route allows less.
const maxTimeout = 24 * time.Hour

// requestTimeout returns what a request says of its deadline, 0 if nothing: seconds,
// such as 2.5, or a duration of Go's, such as 250ms.
func requestTimeout(h http.Header) (time.Duration, *problem) {
	values := h.Values(headerTimeout)
	if len(values) == 0 {
		return 0, nil
	}
	text := strings.Trim(values[0], " \t")
	d, err := time.ParseDuration(text)
	if err != nil {
		d, err = time.ParseDuration(text + "s")
	}
	if err != nil || len(text) > 20 || len(values) > 1 || d < time.Millisecond || d > maxTimeout {
		return 0, refusal(http.StatusBadRequest, ReasonBadTimeout,
			headerTimeout+" must be a number of seconds, or a duration such as 250ms, from 1ms to 24h")
	}
	return d, nil
}
