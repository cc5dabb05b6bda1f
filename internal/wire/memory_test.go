package wire

import (
	"testing"
	"time"
)

func TestLabelOfAMemoryIsReadAsFarAsItGoes(t *testing.T) {
	t.Parallel()
	born := time.Date(2026, 11, 30, 11, 5, 9, 123456789, time.FixedZone("", 3600))
	label := EncodeMemory("0123456789abcdef", born)
	if label != "0123456789abcdef@20261130T100509Z" {
		t.Errorf("the label is %q", label)
	}
	for n := range len(label) + 1 {
		id, created := DecodeMemory(label[:n])
		wantID, want := "", time.Time{}
		if n > 16 {
			wantID = "0123456789abcdef"
		}
		if n == len(label) {
			want = born.Truncate(time.Second)
		}
		if id != wantID || !created.Equal(want) {
			t.Errorf("%q is read as %q, %v", label[:n], id, created)
		}
	}
}
