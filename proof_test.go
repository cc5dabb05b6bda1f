package warren_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/warren-rpc/warren"
)

// As docs/wire.md has it, so that other languages' callers can prove their calls.
func TestProofIsHashedAsDocumented(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for hashed, got := range map[string]warren.Proof{
		"\x00\x00\x00":              warren.ProofOf("", "", nil),
		"\x0atext/plain\x00\x02hi":  warren.ProofOf("text/plain", "", []byte("hi")),
		"\x01a\x01b\xac\x02" + long: warren.ProofOf("a", "b", []byte(long)),
	} {
		sum := sha256.Sum256([]byte(hashed))
		if want := warren.Proof(sum[:16]); got != want {
			t.Errorf("%.20q: %v; want %v", hashed, got, want)
		}
	}
}

func TestProofsAreReadAndWritten(t *testing.T) {
	t.Parallel()
	p := warren.ProofOf("a", "b", []byte("c"))
	for _, s := range []string{p.String(), strings.ToUpper(p.String())} {
		if got, err := warren.ParseProof(s); err != nil || got != p || len(s) != 32 {
			t.Errorf("%s is read as %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "00", strings.Repeat("0", 31), strings.Repeat("0", 33), strings.Repeat("0", 64), strings.Repeat("g", 32)} {
		if got, err := warren.ParseProof(s); err == nil {
			t.Errorf("%q is read as %v", s, got)
		}
	}
}
