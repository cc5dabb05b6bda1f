package frames

import "io"

// readAhead is how much is asked of the transport at a time.
const readAhead = 32 << 10

// input is what has been received and not been used yet.
type input struct {
	from io.Reader
	err  error // of from

	buf        []byte
	start, end int
}

// need returns the next n octets, which stay where they are until they are used.
func (in *input) need(n int) ([]byte, error) {
	if len(in.buf)-in.start < n {
		whole := in.buf
		if len(whole) < n {
			whole = make([]byte, n)
		}
		in.end = copy(whole, in.buf[in.start:in.end])
		in.buf, in.start = whole, 0
	}
	for in.end-in.start < n {
		if in.err != nil {
			return nil, in.err
		}
		if in.start == in.end {
			in.start, in.end = 0, 0
		}
		var got int
		got, in.err = in.from.Read(in.buf[in.end:])
		in.end += got
	}
	return in.buf[in.start : in.start+n], nil
}

// use moves on by n octets that need has returned.
func (in *input) use(n int) { in.start += n }

// upTo returns the next octets, at least one and at most n, and moves on by them.
func (in *input) upTo(n int64) ([]byte, error) {
	if in.start == in.end {
		if _, err := in.need(1); err != nil {
			return nil, err
		}
	}
	n = min(n, int64(in.end-in.start))
	in.start += int(n)
	return in.buf[in.start-int(n) : in.start], nil
}

// skip moves on by n octets.
func (in *input) skip(n int64) error {
	for n > 0 {
		skipped, err := in.upTo(n)
		if err != nil {
			return err
		}
		n -= int64(len(skipped))
	}
	return nil
}

// fill fills p with the next octets. What is not worth a copy is read right into it.
func (in *input) fill(p []byte) error {
	for len(p) > 0 {
		if in.start == in.end && len(p) >= readAhead/2 {
			if in.err != nil {
				return in.err
			}
			var got int
			got, in.err = in.from.Read(p)
			p = p[got:]
			continue
		}
		got, err := in.upTo(int64(len(p)))
		if err != nil {
			return err
		}
		copy(p, got)
		p = p[len(got):]
	}
	return nil
}
