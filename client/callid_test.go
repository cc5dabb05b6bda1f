package client_test

import (
	"encoding/base64"
	"regexp"
	"testing"

	"github.com/warren-rpc/warren/client"
)

// An ID is 16 bytes, in characters that need no quotes anywhere, and none is an option.
func TestIDsAreShortAndHarmless(t *testing.T) {
	t.Parallel()
	form, seen := regexp.MustCompile(`^[0-9A-Za-z_][0-9A-Za-z_-]{21}$`), map[string]bool{}
	for range 10_000 {
		id := client.NewID()
		b, err := base64.RawURLEncoding.DecodeString(id)
		if err != nil || len(b) != 16 || !form.MatchString(id) || seen[id] || b[6]>>4 != 4 || b[8]>>6 != 2 {
			t.Fatalf("%q, %v", id, err)
		}
		seen[id] = true
	}
}
