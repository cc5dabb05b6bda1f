package history

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(envWriter); folder != "" {
		writeUntilKilled(folder)
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, folder, name string) *Log {
	t.Helper()
	l, err := Open(folder, name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func all(t *testing.T, events Events) []Event {
	t.Helper()
	var list []Event
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}
