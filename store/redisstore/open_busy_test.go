package redisstore

import (
	"testing"
	"time"
)

// TestOpenWaitsForARedisThatIsBusy has Redis answer nothing for longer than a beat may take.
func TestOpenWaitsForARedisThatIsBusy(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	thawed := make(chan error, 1)
	time.AfterFunc(beatTimeout*3/2, func() { thawed <- server.Thaw() })
	s, err := OpenURL(t.Context(), server.URL(), Options{})
	if err := <-thawed; err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
