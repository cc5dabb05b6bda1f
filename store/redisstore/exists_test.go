package redisstore

import (
	"strings"
	"testing"
)

func TestStoreThatMustExistIsNotMade(t *testing.T) {
	t.Parallel()
	client := startServer(t).client()
	t.Cleanup(func() { _ = client.Close() })
	_, err := Open(t.Context(), client, Options{MustExist: true})
	if err == nil || !strings.Contains(err.Error(), "no store") {
		t.Fatalf("it is opened: %v", err)
	}
	if n := client.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys were made", n)
	}
	for _, mustExist := range []bool{false, true} {
		s, err := Open(t.Context(), client, Options{MustExist: mustExist})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
