package broker

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"time"

	"pgregory.net/rapid"
)

// put writes p and demands that it is taken.
func put(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, s *socket, p []byte) {
	t.Helper()
	if n, err := s.Write(p); n != len(p) || err != nil {
		t.Fatalf("Write of %d bytes: %d, %v", len(p), n, err)
	}
}

func TestUncorkedWritesGoOutAtOnce(t *testing.T) {
	t.Parallel()
	var conn sink
	s := newSocket(&conn, time.Minute)
	for _, word := range []string{"one ", "two ", "three"} {
		put(t, s, []byte(word))
	}
	if all, writes := conn.written(); string(all) != "one two three" || writes != 3 {
		t.Fatalf("%q in %d writes", all, writes)
	}
}

func TestCorkGathersUntilTheLastUncork(t *testing.T) {
	t.Parallel()
	var conn sink
	s := newSocket(&conn, time.Minute)
	s.Cork()
	put(t, s, []byte("one "))
	s.Cork()
	put(t, s, []byte("two "))
	s.Uncork()
	put(t, s, []byte("three"))
	if all, _ := conn.written(); len(all) != 0 {
		t.Fatalf("%q went out of a corked socket", all)
	}
	s.Uncork()
	if all, writes := conn.written(); string(all) != "one two three" || writes != 1 {
		t.Fatalf("%q in %d writes", all, writes)
	}
	s.Cork()
	s.Uncork()
	if _, writes := conn.written(); writes != 1 {
		t.Fatal("a cork without writes wrote")
	}
}

func TestWriterMayReuseItsBuffer(t *testing.T) {
	t.Parallel()
	var conn sink
	s := newSocket(&conn, time.Minute)
	s.Cork()
	p := []byte("one ")
	put(t, s, p)
	copy(p, "two ")
	put(t, s, p)
	copy(p, "xxxx")
	s.Uncork()
	if all, _ := conn.written(); string(all) != "one two " {
		t.Fatalf("%q", all)
	}
}

// However corks, small and large writes follow on one another, what goes out is
// what was written, in that order, without more in store than the bound, and
// nothing is held back once no cork is left.
func TestSocketKeepsOrderAndHoldsBackNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var conn sink
		s := newSocket(&conn, time.Minute)
		var want []byte
		corks, next := 0, byte(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				s.Cork()
				corks++
			case 1:
				if corks > 0 {
					s.Uncork()
					corks--
				}
			default:
				size := rapid.OneOf(
					rapid.IntRange(0, 100), rapid.IntRange(copyBelow-2, copyBelow+2), rapid.IntRange(mostCorked-2, mostCorked+2),
				).Draw(t, "size")
				p := make([]byte, size)
				for i := range p {
					p[i] = next
					next++
				}
				put(t, s, p)
				want = append(want, p...)
			}
			got, _ := conn.written()
			if !bytes.HasPrefix(want, got) {
				t.Fatalf("%d bytes went out of order", len(got))
			}
			if corks == 0 && len(got) != len(want) {
				t.Fatalf("%d of %d bytes went out, and nothing holds the others", len(got), len(want))
			}
			if len(want)-len(got) > mostCorked {
				t.Fatalf("%d bytes are held back", len(want)-len(got))
			}
		}
	})
}

// The library writes frame groups from several goroutines: each write must go
// out whole, and those of one goroutine in their order.
func TestConcurrentWritesAreNotTornApart(t *testing.T) {
	t.Parallel()
	const writers, writes = 4, 200
	var conn sink
	s := newSocket(&conn, time.Minute)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range writes {
				if i%3 == 0 {
					s.Cork()
				}
				// writer, sequence, length, payload
				size := 1 + (i*7)%120
				frame := append([]byte{byte(w), byte(i), byte(size)}, bytes.Repeat([]byte{byte(w)}, size)...)
				put(t, s, frame)
				if i%3 == 2 {
					s.Uncork()
				}
			}
			s.Uncork() // 200 is not divisible by three
		})
	}
	wg.Wait()
	stream, _ := conn.written()
	next := map[byte]byte{}
	for frames := 0; len(stream) > 0; frames++ {
		w, seq, size := stream[0], stream[1], int(stream[2])
		if seq != next[w] || !bytes.Equal(stream[3:3+size], bytes.Repeat([]byte{w}, size)) {
			t.Fatalf("frame %d: writer %d, sequence %d; want %d", frames, w, seq, next[w])
		}
		next[w]++
		stream = stream[3+size:]
	}
	for w := range byte(writers) {
		if next[w] != writes {
			t.Fatalf("writer %d: %d frames", w, next[w])
		}
	}
}

// After a failed write part of a frame may be out: whatever follows would be
// read as the rest of it.
func TestNothingGoesOutAfterAFailedWrite(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(s *socket) error{
		"direct": func(s *socket) error { _, err := s.Write([]byte("x")); return err },
		"corked": func(s *socket) error {
			s.Cork()
			_, err := s.Write([]byte("x"))
			s.Uncork()
			return err
		},
		"large": func(s *socket) error {
			s.Cork()
			defer s.Uncork()
			_, err := s.Write(make([]byte, 2*mostCorked))
			return err
		},
	} {
		conn := sink{fail: true}
		s := newSocket(&conn, time.Minute)
		if err := write(s); name != "corked" && !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", name, err)
		}
		conn.fail = false
		if n, err := s.Write([]byte("y")); n != 0 || !errors.Is(err, errBroken) {
			t.Errorf("%s: a later write: %d, %v", name, n, err)
		}
		s.Cork()
		if _, err := s.Write([]byte("z")); !errors.Is(err, errBroken) {
			t.Errorf("%s: a later corked write: %v", name, err)
		}
		s.Uncork()
		if all, _ := conn.written(); len(all) != 0 || conn.closed != 1 {
			t.Errorf("%s: %q went out, closed %d times", name, all, conn.closed)
		}
	}
}

func TestSocketReadsWhatWasSent(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	s := newSocket(here, time.Minute)
	sent := bytes.Repeat([]byte("0123456789"), 20_000)
	var wg sync.WaitGroup
	wg.Go(func() {
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), 1+len(rest)%5000)
			if _, err := there.Write(rest[:n]); err != nil {
				t.Error(err)
				return
			}
			rest = rest[n:]
		}
		there.Close()
	})
	got, err := io.ReadAll(s)
	wg.Wait()
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d of %d bytes, %v", len(got), len(sent), err)
	}
	if _, err := s.Write([]byte("x")); err == nil {
		t.Fatal("the end of the stream did not close the socket for writing")
	}
}
