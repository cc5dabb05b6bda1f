package bench

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations in buckets whose width is below 1 % of their value.
// Unlike a list of all durations its size does not grow with the number of calls,
// which would make the garbage collector's share depend on it. It is safe for
// concurrent use.
type histogram struct {
	buckets [histogramSize]atomic.Uint64
}

const (
	// Values share their leading bits with the rest of their bucket.
	histogramBits = 8
	histogramSize = (64 - histogramBits + 1) << (histogramBits - 1)
)

// record counts a duration; a negative one counts as zero.
func (h *histogram) record(d time.Duration) {
	h.buckets[bucketOf(uint64(max(0, d)))].Add(1)
}

// quantile returns the middle of the bucket below which lies the share q, 0 to 1,
// of what was recorded, and 0 if nothing was.
func (h *histogram) quantile(q float64) time.Duration {
	total := h.count()
	if total == 0 {
		return 0
	}
	rank := uint64(q * float64(total-1))
	for i := range h.buckets {
		n := h.buckets[i].Load()
		if rank < n {
			return bucketMiddle(i)
		}
		rank -= n
	}
	return bucketMiddle(histogramSize - 1)
}

func (h *histogram) count() (total uint64) {
	for i := range h.buckets {
		total += h.buckets[i].Load()
	}
	return total
}

// bucketOf counts in steps of one up to 2^histogramBits, and in steps of twice
// the size after each further power of two.
func bucketOf(v uint64) int {
	shift := max(0, bits.Len64(v)-histogramBits)
	return shift<<(histogramBits-1) + int(v>>shift)
}

func bucketMiddle(i int) time.Duration {
	shift := max(0, i>>(histogramBits-1)-1)
	low := uint64(i-shift<<(histogramBits-1)) << shift
	return time.Duration(low + (uint64(1)<<shift)/2)
}
