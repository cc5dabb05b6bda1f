package redisstore

import "testing"

// What goes in one round trip is bound in bytes, in both directions. All of it goes in
// the end, in order.
func TestRoundTripIsBoundInBytes(t *testing.T) {
	t.Parallel()
	o, err := Options{}.complete()
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{opts: o}
	for name, next := range map[string]func() *op{
		"small":     func() *op { return s.op(renewScript, nil) },
		"large":     func() *op { return s.op(completeScript, nil, make([]byte, maxBytes/3)) },
		"too large": func() *op { return s.op(completeScript, nil, make([]byte, 2*maxBytes)) },
		"read":      func() *op { return s.op(getScript, nil) },
	} {
		want := map[string]int{"small": maxOps, "large": 2, "too large": 1, "read": 15}[name]
		l := &line{senders: maxSenders}
		var all []*op
		for range 2*want + 1 {
			o := next()
			all = append(all, o)
			if err := l.add(o); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range []int{want, want, 1, 0} {
			got := l.take()
			if len(got) != n {
				t.Fatalf("%s: %d are taken; want %d", name, len(got), n)
			}
			for i, o := range got {
				if o != all[i] {
					t.Errorf("%s: the one at %d is another", name, i)
				}
			}
			all = all[n:]
		}
	}
}
