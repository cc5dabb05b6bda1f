package main

import (
	"strings"
	"testing"

	"github.com/warren-rpc/warren/test/rabbit"
)

func TestPingCountsServers(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	object := invoke(t, url, "ping", "--json", "rpc_queue").want(t, exitNoServer).object(t)
	wantKeys(t, object, "method", "servers", "ms", "reason")
	if object["servers"] != 0.0 || object["reason"] != "no_route" {
		t.Errorf("ping says %v", object)
	}
	if out := invoke(t, url, "ping", "rpc_queue").want(t, exitNoServer).stdout.String(); !strings.HasPrefix(out, "rpc_queue: no server, and no queue") {
		t.Errorf("ping says %q", out)
	}

	serveSamples(t, url)
	if out := invoke(t, url, "ping", "rpc_queue").want(t, 0).stdout.String(); !strings.HasPrefix(out, "rpc_queue: 1 server (") {
		t.Errorf("ping says %q", out)
	}
}

func TestPingOfAnUnreachableBrokerDoesNotClaimThereAreNoServers(t *testing.T) {
	t.Parallel()
	const unreachable = "amqp://guest:guest@127.0.0.1:1/"
	object := invoke(t, unreachable, "ping", "--json", "--timeout", "300ms", "rpc_queue").want(t, exitBroker).object(t)
	if _, claims := object["servers"]; claims || object["ok"] != false || object["reason"] != "not_connected" {
		t.Errorf("ping says %v", object)
	}
}
