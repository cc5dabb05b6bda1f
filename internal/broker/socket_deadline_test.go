package broker

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// These run on synctest's clock: hours pass in no time.

const given = time.Minute

// inTime demands that the end came when the socket promises it: after three
// quarters of the timeout at the earliest, and after the timeout at the latest.
func inTime(t *testing.T, what string, err error, took time.Duration) {
	t.Helper()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: %v; want a timeout", what, err)
	}
	if took < given*3/4 || took > given {
		t.Errorf("%s ended after %v; want 45 s to 1 min", what, took)
	}
}

func TestReadFromASilentPeerEnds(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, time.Second, given / 5, given / 4, given / 2, given * 7 / 10} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			defer there.Close()
			s := newSocket(here, given)
			p := make([]byte, 1)
			// The last sign of life comes some time after the first read.
			go func() {
				_, _ = there.Write([]byte("x"))
				time.Sleep(after)
				_, _ = there.Write([]byte("y"))
			}()
			for range 2 {
				if _, err := s.Read(p); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			_, err := s.Read(p)
			inTime(t, "the read", err, time.Since(began))
			if _, err := s.Write(p); err == nil {
				t.Error("the socket is still open for writing")
			}
		})
	}
}

func TestPeerThatGivesSignsOfLifeIsReadOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		s := newSocket(here, given)
		go func() {
			for range 500 {
				time.Sleep(given*3/4 - time.Second)
				_, _ = there.Write([]byte("x"))
			}
			there.Close()
		}()
		if got, err := io.ReadAll(s); err != nil || len(got) != 500 {
			t.Errorf("%d signs of life were read: %v", len(got), err)
		}
	})
}

func TestWriteToAStuckPeerEnds(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(s *socket) error{
		"small": func(s *socket) error { _, err := s.Write([]byte("x")); return err },
		"large": func(s *socket) error { _, err := s.Write(make([]byte, 2*mostAtOnce)); return err },
		"of several": func(s *socket) error {
			return s.WriteBuffers(&net.Buffers{[]byte("x"), make([]byte, 2*mostAtOnce)})
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			defer there.Close()
			s := newSocket(here, given)
			began := time.Now()
			err := write(s)
			inTime(t, "the "+name+" write", err, time.Since(began))
			if _, err := here.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%s: the connection is still open: %v", name, err)
			}
		})
	}
}

// However long all takes, a peer that goes on taking some is written to.
func TestLargeWriteToASlowPeerGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		s := newSocket(here, given)
		var peer sync.WaitGroup
		defer peer.Wait()
		defer here.Close()
		peer.Go(func() {
			for p := make([]byte, mostAtOnce); ; time.Sleep(given / 2) {
				if _, err := io.ReadFull(there, p); err != nil {
					return
				}
			}
		})
		var buffers net.Buffers
		for range 40 {
			buffers = append(buffers, make([]byte, mostAtOnce/2))
		}
		if err := s.WriteBuffers(&buffers); err != nil {
			t.Error(err)
		}
	})
}

// A write that was in time leaves a deadline behind; it must not catch the next.
func TestOldDeadlineDoesNotCatchALaterWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		s := newSocket(here, given)
		go func() { _, _ = io.Copy(io.Discard, there) }()
		for range 100 {
			if _, err := s.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * given)
		}
	})
}

// stuck returns a socket with a write in progress that nobody takes, and a
// channel on which its end is told.
func stuck(there net.Conn, here net.Conn) (*socket, <-chan error) {
	_ = there
	s := newSocket(here, time.Hour)
	ended := make(chan error, 1)
	go func() {
		_, err := s.Write([]byte("x"))
		ended <- err
	}()
	synctest.Wait()
	return s, ended
}

func TestCloseFreesAStuckWriter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		s, ended := stuck(there, here)
		began := time.Now()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-ended; err == nil || time.Since(began) != 0 {
			t.Errorf("the write ended after %v with %v", time.Since(began), err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
	})
}

// While a writer is stuck it holds the library's locks, and the library cannot
// end the connection whose end its reader has seen.
func TestFailedReadFreesAStuckWriter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		half := &halfClosed{Conn: here, eof: make(chan struct{})}
		s, ended := stuck(there, half)
		go func() { _, _ = s.Read(make([]byte, 1)) }()
		synctest.Wait()
		began := time.Now()
		close(half.eof)
		if err := <-ended; err == nil || time.Since(began) != 0 {
			t.Errorf("the write ended after %v with %v", time.Since(began), err)
		}
	})
}

// halfClosed is a connection of which only the reading side ends.
type halfClosed struct {
	net.Conn
	eof chan struct{}
}

func (h *halfClosed) Read([]byte) (int, error) {
	<-h.eof
	return 0, io.EOF
}
