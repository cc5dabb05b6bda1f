package amqptest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func TestPipeCarriesBytesInOrder(t *testing.T) {
	t.Parallel()
	sent := make([]byte, 1<<20)
	for i := range sent {
		sent[i] = byte(rand.Uint32())
	}
	for _, turned := range []bool{false, true} {
		from, to := newPipe()
		if turned {
			from, to = to, from
		}
		go func() {
			for rest := sent; len(rest) > 0; {
				n, err := from.Write(rest[:min(len(rest), 1+rand.IntN(100_000))])
				if err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
			_ = from.Close()
		}()
		if got, err := io.ReadAll(to); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	}
}

func TestPipeHoldsAsMuchAsASocketAndNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe()
		if n, err := a.Write(make([]byte, pipeBuffer)); n != pipeBuffer || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
		_ = a.SetWriteDeadline(time.Now().Add(time.Second))
		began := time.Now()
		n, err := a.Write([]byte("more"))
		var timeout net.Error
		if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() ||
			time.Since(began) != time.Second {
			t.Errorf("wrote %d after %v, %v", n, time.Since(began), err)
		}
		_ = a.SetWriteDeadline(time.Time{})
		written := make(chan error, 1)
		go func() {
			_, err := a.Write([]byte("more"))
			written <- err
		}()
		synctest.Wait()
		if len(written) > 0 {
			t.Error("it holds more than it should")
		}
		if _, err := io.ReadFull(b, make([]byte, pipeBuffer+4)); err != nil {
			t.Error(err)
		}
		if err := <-written; err != nil {
			t.Error(err)
		}
	})
}

func TestPipeDeadlinesWakeThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _ := newPipe()
		began := time.Now()
		_ = a.SetReadDeadline(began.Add(time.Hour))
		go func() {
			time.Sleep(time.Second)
			_ = a.SetDeadline(time.Now().Add(-1))
		}()
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		_ = a.SetDeadline(began.Add(3 * time.Second))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestClosedPipeEndsBothSides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe()
		if _, err := a.Write([]byte("last")); err != nil {
			t.Fatal(err)
		}
		reading := make(chan error, 1)
		go func() {
			_, err := a.Read(make([]byte, 1))
			reading <- err
		}()
		synctest.Wait()
		for range 2 {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := <-reading; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("reading at the closed end: %v", err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("writing at the closed end: %v", err)
		}
		if _, err := b.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("writing at the other: %v", err)
		}
		if got, err := io.ReadAll(b); string(got) != "last" || err != nil {
			t.Errorf("read %q, %v at the other", got, err)
		}
	})
}
