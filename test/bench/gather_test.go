package bench

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// connected returns the two ends of a connection.
func connected(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if near, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

func TestGatheredWritesArriveInOrderBeforeTheEnd(t *testing.T) {
	t.Parallel()
	near, far := connected(t)
	got := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(far)
		got <- all
	}()
	conn := newGatheringConn(near)
	var want []byte
	for i := range 3000 {
		size := i % 200
		if i%100 == 0 {
			size = 100_000 + i // more than may be gathered, soon
		}
		part := bytes.Repeat([]byte{byte(i)}, size)
		want = append(want, part...)
		if n, err := conn.Write(part); n != size || err != nil {
			t.Fatalf("write %d: %d, %v", i, n, err)
		}
		clear(part) // it is the caller's again
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-got; !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived, which are not the %d that were written", len(got), len(want))
	}
	if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after the close: %v", err)
	}
}

func TestWhatIsReadAheadIsNotLost(t *testing.T) {
	t.Parallel()
	near, far := connected(t)
	conn := newGatheringConn(near)
	want := bytes.Repeat([]byte("0123456789"), 20_000)
	go func() {
		_, _ = far.Write(want)
		_ = far.Close()
	}()
	var got []byte
	for size := 1; ; size = size*3%100_003 + 1 {
		part := make([]byte, size)
		n, err := conn.Read(part)
		got = append(got, part[:n]...)
		if err != nil {
			break
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("read %d bytes, which are not the %d that were sent", len(got), len(want))
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAWriteThatFailsEndsTheConnection(t *testing.T) {
	t.Parallel()
	near, far := connected(t)
	conn := newGatheringConn(near)
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	var err error
	for err == nil && time.Now().Before(deadline) {
		_, err = conn.Write(make([]byte, 100))
	}
	if err == nil {
		t.Fatal("writes to a connection that is gone succeed")
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a read after a failed write succeeds")
	}
	_ = conn.Close()
}
