package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

func TestServeSaysWhatItServesOnceItConsumes(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	r := serveSamples(t, url)
	object := wantKeys(t, r.object(t), "ready", "methods")
	const want = "[rpc_queue users.email sample.echo sample.sleep sample.fail sample.panic]"
	if object["ready"] != true || fmt.Sprint(object["methods"]) != want {
		t.Errorf("it says %v", object)
	}
	if q := queue(t, url, "rpc_queue"); q.Type != "classic" || q.Consumers != 1 {
		t.Errorf("the queue is %+v", q)
	}

	// A second server, of quorum queues, says so to a person; the queue that is
	// there is used as it is.
	second := command(url, "serve", "--method", "rpc_queue", "--method", "users.email", "--concurrency", "2", "--prefetch", "3").start(t)
	patience.Eventually(t, "the second server is ready", func() bool { return strings.Contains(second.stdout.String(), "\n") })
	if out := second.stdout.String(); out != "serving rpc_queue, users.email on quorum queues\n" {
		t.Errorf("it says %q", out)
	}
	if warnings := second.stderr.String(); !strings.Contains(warnings, "the queue exists with other arguments") {
		t.Errorf("it logs %q", warnings)
	}
	r = invoke(t, url, "ping", "--json", "rpc_queue").want(t, 0)
	if object := wantKeys(t, r.object(t), "method", "servers", "ms"); object["servers"] != 2.0 || object["method"] != "rpc_queue" {
		t.Errorf("ping says %v", object)
	}
}

func TestServeOfQueuesThatDoNotExistIsAWrongConfiguration(t *testing.T) {
	t.Parallel()
	r := invoke(t, rabbit.VHost(t), "serve", "--quiet", "--queue-type", "existing").want(t, exitUsage)
	if text := r.wantLine(t); !strings.Contains(text, "NOT_FOUND") {
		t.Errorf("standard error: %s", text)
	}
}

// sleeping starts a call whose handler is at work when it returns.
func sleeping(t *testing.T, url, ms string) *tool {
	t.Helper()
	c := command(url, "call", "--json", "--timeout", "1m", "sample.sleep", ms).start(t)
	patience.Eventually(t, "the request is with the server", func() bool { return queue(t, url, "sample.sleep").Unacked == 1 })
	// One that comes after it is answered: a handler has it.
	invoke(t, url, "call", "sample.sleep", "0").want(t, 0)
	return c
}

func TestServeDrainsOnSIGTERM(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	server := serveSamples(t, url)
	call := sleeping(t, url, "1000")
	send(t, server, syscall.SIGTERM)
	server.wait(t).want(t, 0)
	if object := call.wait(t).want(t, 0).object(t); object["body"] != "1000" || object["attempts"] != 1.0 {
		t.Errorf("the call ended with %v", object)
	}
	object := invoke(t, url, "ping", "--json", "rpc_queue").want(t, exitNoServer).object(t)
	if object["servers"] != 0.0 || object["reason"] != "no_server" {
		t.Errorf("ping says %v", object)
	}
}

func TestServeGivesBackWhatItCannotFinish(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	server := serveSamples(t, url, "--quiet", "--drain-timeout", "10ms")
	sleeping(t, url, "60000")
	send(t, server, syscall.SIGINT)
	if text := server.wait(t).want(t, exitInternal).wantLine(t); !strings.Contains(text, "given back") {
		t.Errorf("standard error: %s", text)
	}
	patience.Eventually(t, "the request is in its queue again", func() bool {
		q := queue(t, url, "sample.sleep")
		return q.Ready == 1 && q.Unacked == 0
	})
}

func TestServeEndsAtOnceOnTheSecondSignal(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	server := serveSamples(t, url)
	sleeping(t, url, "60000")
	send(t, server, syscall.SIGTERM)
	patience.Eventually(t, "the server is stopping", func() bool { return strings.Contains(server.stderr.String(), "stopping") })
	send(t, server, syscall.SIGTERM)
	server.wait(t).want(t, exitInterrupted)
}

func send(t *testing.T, r *tool, s syscall.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
