package docs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

const gatewayDoc = "docs/gateway.md"

// shownAddress is where the gateway of the document listens; the test's has a port of
// its own.
const shownAddress = "127.0.0.1:8080"

// The document's commands are played with the tool and the example's routes.
func TestGatewayCommandsPrintWhatTheDocumentShows(t *testing.T) {
	t.Parallel()
	url, exe, address := rabbit.VHost(t), tool(t), freeAddress(t)
	played := 0
	for _, b := range blocks(t, gatewayDoc, "console") {
		for _, scene := range strings.Split("\n"+b.text, "\n$ ")[1:] {
			line, want, _ := strings.Cut(scene, "\n")
			got := playGateway(t, b, url, exe, address, strings.Fields(strings.ReplaceAll(line, shownAddress, address)))
			if strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("%s: %s printed\n%s\nnot\n%s", b.where(), line, got, want)
			}
			played++
		}
	}
	if played != 7 {
		t.Errorf("%d commands were played", played)
	}
}

func playGateway(t *testing.T, b block, url, exe, address string, words []string) string {
	t.Helper()
	switch background := words[len(words)-1] == "&"; {
	case words[0] == "warren" && background:
		args := words[1 : len(words)-1]
		for i, arg := range args {
			if strings.HasPrefix(arg, "docs/") {
				args[i] = filepath.Join(root, arg)
			}
		}
		startDaemon(t, url, exe, args...)
		if args[0] == "serve" {
			c := newClient(t, client.Config{Broker: brokerAt(url)})
			patience.Eventually(t, "the samples are served", func() bool {
				n, err := c.Ping(withPatience(t), "sample.echo")
				return err == nil && n == 1
			})
			return ""
		}
		patience.Eventually(t, "the gateway serves", func() bool {
			resp, err := http.Get("http://" + address + gateway.ReadyPath)
			if err == nil {
				_ = resp.Body.Close()
			}
			return err == nil && resp.StatusCode == http.StatusOK
		})
		return ""
	case words[0] == "warren":
		var file string
		for _, wrong := range blocks(t, gatewayDoc, "yaml") {
			file = writeFile(t, "wrong.yaml", wrong.text)
		}
		words[len(words)-1] = file
		_, complaint, code := run(t, url, exe, words[1:]...)
		if code != 2 {
			t.Errorf("%s: exit code %d", b.where(), code)
		}
		return strings.ReplaceAll(complaint, file, "wrong.yaml")
	case words[0] == "curl":
		return curl(t, words[1:])
	default:
		t.Fatalf("%s: this test does not know the command %q", b.where(), words)
		panic("unreachable")
	}
}

// curl does what the document's commands ask of it.
func curl(t *testing.T, args []string) string {
	t.Helper()
	method, body, status := http.MethodGet, "", false
	for i := 0; i < len(args)-1; i++ {
		switch args[i] {
		case "-s":
		case "-X":
			i++
			method = args[i]
		case "-d":
			i++
			body = args[i]
		case "-o":
			i++
		case "-w":
			i++
			status = args[i] == "%{http_code}"
		default:
			t.Fatalf("this test does not know curl's %s", args[i])
		}
	}
	req, err := http.NewRequestWithContext(withPatience(t), method, args[len(args)-1], strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if status {
		return fmt.Sprint(resp.StatusCode)
	}
	return string(text)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// plainServer completes the document's handler to a program that serves the queue
// orders.
const plainServer = `import os
import pika

%s

connection = pika.BlockingConnection(pika.URLParameters(os.environ["WARREN_URL"]))
channel = connection.channel()
channel.queue_declare("orders")
channel.basic_qos(prefetch_count=1)
channel.basic_consume("orders", on_request)
channel.start_consuming()
`

func TestPlainServerOfTheGatewaysDocumentAnswers(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	handlers := blocks(t, gatewayDoc, "python")
	if len(handlers) != 1 {
		t.Fatalf("%s has %d programs in Python", gatewayDoc, len(handlers))
	}
	server := exec.Command(pythonWithPika(t), writeFile(t, "server.py", fmt.Sprintf(plainServer, handlers[0].text)))
	server.Env, server.Stderr = environment(url), os.Stderr
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	c := newClient(t, client.Config{Broker: brokerAt(url)})
	patience.Eventually(t, "the plain server consumes", func() bool {
		n, err := c.Ping(withPatience(t), "orders")
		return err == nil && n == 1
	})
	g, err := gateway.New(c, gateway.Config{Routes: []gateway.Route{{
		Pattern: "PUT /orders/{id}", Method: "orders", Headers: gateway.Headers{Out: []string{"Location"}},
	}, {
		Pattern: "GET /nobody", Method: "nobody",
	}}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := gateway.NewServer(g, gateway.ServerConfig{Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l)
	}()
	defer func() {
		_ = s.Close()
		<-served
	}()
	req, err := http.NewRequestWithContext(withPatience(t), http.MethodPut, "http://"+l.Addr().String()+"/orders/7", nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusCreated || resp.Header.Get("Location") != "/orders/7" ||
		resp.Header.Get("Content-Type") != "application/json" || string(body) != `{"ok": true}` {
		t.Errorf("%v, %d, %q: %s", err, resp.StatusCode, resp.Header, body)
	}
	var shown, got map[string]any
	problem := curl(t, []string{"-s", "http://" + l.Addr().String() + "/nobody"})
	for _, b := range blocks(t, gatewayDoc, "json") {
		err = errors.Join(json.Unmarshal([]byte(b.text), &shown), json.Unmarshal([]byte(problem), &got))
	}
	for _, call := range []map[string]any{shown, got} {
		if id, ok := call["call_id"].(string); !ok || len(id) != 22 {
			t.Errorf("the call's ID is %v", call["call_id"])
		}
		delete(call, "call_id")
	}
	if err != nil || !maps.Equal(shown, got) {
		t.Errorf("%v: the document shows the error %v; it is %v", err, shown, got)
	}
}
