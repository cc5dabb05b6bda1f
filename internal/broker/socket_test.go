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

func TestWritesGoOutAtOnce(t *testing.T) {
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

// Whatever buffers are written together, what goes out is what they hold, in their order.
func TestBuffersGoOutInTheirOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var conn sink
		s := newSocket(&conn, time.Minute)
		var want []byte
		next := byte(0)
		for range rapid.IntRange(1, 5).Draw(t, "writes") {
			var buffers net.Buffers
			for range rapid.IntRange(0, 8).Draw(t, "buffers") {
				size := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(mostAtOnce-2, mostAtOnce+2)).Draw(t, "size")
				p := make([]byte, size)
				for i := range p {
					p[i] = next
					next++
				}
				want = append(want, p...)
				buffers = append(buffers, p)
			}
			if err := s.WriteBuffers(&buffers); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ := conn.written(); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes went out, or in another order; want %d", len(got), len(want))
		}
	})
}

// After a failed write part of a frame may be out: whatever followed would be read as the
// rest of it.
func TestFailedWriteClosesTheConnection(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(s *socket) error{
		"one": func(s *socket) error { _, err := s.Write([]byte("x")); return err },
		"several": func(s *socket) error {
			return s.WriteBuffers(&net.Buffers{[]byte("x"), make([]byte, 2*mostAtOnce), []byte("y")})
		},
	} {
		conn := sink{fail: true}
		s := newSocket(&conn, time.Minute)
		if err := write(s); !errors.Is(err, errBroken) || conn.closed != 1 {
			t.Errorf("%s: %v, closed %d times", name, err, conn.closed)
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
