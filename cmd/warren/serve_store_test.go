package main

import (
	"path/filepath"
	"syscall"
	"testing"
)

func TestServedCounterCountsEachCallOnce(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"at-least-once", "at-most-once", "transactional"} {
		b, object := started(t, "broker", "--listen", "127.0.0.1:0")
		at, _ := object["url"].(string)
		file := filepath.Join(t.TempDir(), "calls.db")
		call := func(id, body string, code int) map[string]any {
			return invoke(t, at, "call", "--json", "--id", id, "sample.count", body).want(t, code).object(t)
		}
		for i := range 2 {
			s := serveSamples(t, at, "--store", file, "--store-mode", mode)
			if i == 0 {
				if got := call("a", "", 0); got["body"] != "1" || got["replayed"] != false {
					t.Errorf("%s: %v", mode, got)
				}
			}
			// Also by a server that has been started again.
			if got := call("a", "", 0); got["body"] != "1" || got["replayed"] != true {
				t.Errorf("%s: %v", mode, got)
			}
			if got := call("a", "another body", exitRemote); got["reason"] != "key_reused" || got["outcome"] != "not_executed" {
				t.Errorf("%s: %v", mode, got)
			}
			send(t, s, syscall.SIGTERM)
			s.wait(t).want(t, 0)
		}
		s := serveSamples(t, at, "--store", file, "--store-mode", mode)
		if got := call("b", "", 0); got["body"] != "2" || got["replayed"] != false {
			t.Errorf("%s: %v", mode, got)
		}
		// One file is one process's.
		second := invoke(t, at, "serve", "--store", file).want(t, exitInternal)
		second.wantLine(t)
		send(t, s, syscall.SIGTERM)
		s.wait(t).want(t, 0)
		send(t, b, syscall.SIGTERM)
		b.wait(t).want(t, 0)
	}
}
