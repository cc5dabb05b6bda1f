package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/chaos"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// Each command of each document is one that there is: the tool's are read by the
// tool, and others are known here.
func TestCommandsOfDocumentsExist(t *testing.T) {
	t.Parallel()
	exe, makefile := tool(t), read(t, "Makefile")
	parsed := 0
	for _, file := range documents(t) {
		for _, c := range commands(t, file) {
			if args, ok := c.tool(); ok {
				parsed++
				checkTool(t, exe, c, args)
				continue
			}
			line := strings.Join(c.words, " ")
			switch {
			case c.words[0] == "make" && (len(c.words) == 2 || len(c.words) == 3 && c.words[1] == "demo"):
				if len(c.words) == 3 {
					checkTool(t, exe, c, append([]string{"demo"}, strings.Fields(strings.TrimPrefix(c.words[2], "ARGS="))...))
				}
				if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(c.words[1]) + `:`).MatchString(makefile) {
					t.Errorf("%v: the Makefile has no such target", c)
				}
			case c.words[0] == "export" && !strings.HasPrefix(c.words[1], "WARREN_STORE="):
				if settings := (warren.Broker{URLs: []string{strings.TrimPrefix(c.words[1], "WARREN_URL=")}}); settings.Validate() != nil {
					t.Errorf("%v: %v", c, settings.Validate())
				}
			case c.words[0] == "rabbitmqctl", c.words[0] == "curl": // played elsewhere
			case strings.HasPrefix(line, "go run ../"), strings.HasPrefix(line, "python3 ../"): // likewise
			case line == "apt-get update", line == "apt-get install -y make":
			case line == goReplace, line == "go mod tidy":
			case file == "docs/tool.md": // has what belongs to shells
			default:
				t.Errorf("%v: this test does not know the command", c)
			}
		}
	}
	if parsed < 40 {
		t.Errorf("the documents have %d commands of the tool; want 40 or more", parsed)
	}
}

// checkTool has the tool read a command, without doing it.
func checkTool(t *testing.T, exe string, c command, args []string) {
	t.Helper()
	for i, arg := range args {
		if strings.HasPrefix(arg, "docs/") && !strings.HasSuffix(arg, ".svg") {
			if _, err := os.Stat(filepath.Join(root, arg)); err != nil {
				t.Errorf("%v: %v", c, err)
			}
			args[i] = filepath.Join(root, arg)
		}
		if arg == "--faults" {
			if err := chaos.Check(strings.Split(args[i+1], ",")); err != nil {
				t.Errorf("%v: %v", c, err)
			}
		}
	}
	switch {
	case args[0] == "help", args[0] == "policy" && args[1] != "simulate": // cost nothing
		if out, complaint, code := run(t, "", exe, args...); code != 0 {
			t.Errorf("%v: the tool ends with %d: %s%s", c, code, out, complaint)
		}
		return
	}
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	path := args[:1]
	if slices.Contains([]string{"dead", "policy", "store"}, args[0]) {
		path = args[:2]
	}
	if out, complaint, code := run(t, "", exe, append(slices.Clone(path), "--help")...); code != 0 {
		t.Errorf("%v: the tool has no such command, and ends with %d: %s%s", c, code, out, complaint)
		return
	}
	// With arguments the tool looks for help on the first of them, once it has read the
	// flags, and finds none.
	if _, complaint, code := run(t, "", exe, append(slices.Clone(args), "--help")...); code != 0 && !strings.Contains(complaint, "No help topic for") {
		t.Errorf("%v: the tool ends with %d: %s", c, code, complaint)
	}
}

// The README's commands are played in their order, those that take no time, and all
// commands of the tool are there.
func TestReadmeShowsWhatTheToolDoes(t *testing.T) {
	t.Parallel()
	url, exe, folder := rabbit.VHost(t), tool(t), t.TempDir()
	var server *daemon
	var seen []string
	for _, c := range commands(t, "README.md") {
		args, ok := c.tool()
		if !ok {
			continue
		}
		seen = append(seen, args[0])
		for i, arg := range args {
			switch {
			case strings.HasSuffix(arg, ".db"):
				args[i] = filepath.Join(folder, arg)
			case strings.HasPrefix(arg, "docs/"):
				args[i] = filepath.Join(root, arg)
			}
		}
		switch args[0] {
		case "serve":
			server = startDaemon(t, url, exe, args...)
			awaitMethod(t, url, "rpc_queue", "users.email", "sample.echo", "sample.count")
			continue
		case "store":
			server.interrupt()
		case "gateway", "broker", "demo", "bench", "chaos":
			continue // last, or take long
		}
		out, complaint, code := run(t, url, exe, args...)
		const fromServer = 5 // there is no user 7
		if code != 0 && (code != fromServer || !slices.Contains(args, "users.email")) {
			t.Errorf("%v ended with %d: %s%s", c, code, out, complaint)
		}
		if result := regexp.MustCompile(`^\d+`).FindString(c.comment); result != "" && strings.TrimSpace(out) != result {
			t.Errorf("%v printed %q", c, out)
		}
	}
	help, _, _ := run(t, url, exe, "help")
	_, list, _ := strings.Cut(help, "COMMANDS:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		name := strings.Trim(strings.Fields(line)[0], ",")
		if !slices.Contains(seen, name) {
			t.Errorf("README.md does not show the command %s", name)
		}
	}
}

func TestExitCodesOfTheReadmeAreTheTools(t *testing.T) {
	t.Parallel()
	source := read(t, "cmd/warren/exit.go")
	_, codes, ok := strings.Cut(read(t, "README.md"), "Exit codes, for scripts: 0 answered, ")
	if !ok {
		t.Fatal("README.md does not list the exit codes")
	}
	codes, _, _ = strings.Cut(codes, ".\n")
	for constant, word := range map[string]string{
		"exitInternal": "internal", "exitUsage": "usage", "exitDeadline": "deadline exceeded", "exitNoServer": "no server",
		"exitRemote": "error from the server", "exitBroker": "no usable broker", "exitBroken": "the demo's verdict",
	} {
		found := regexp.MustCompile(constant + ` += (\d+)`).FindStringSubmatch(source)
		if found == nil {
			t.Errorf("cmd/warren has no %s", constant)
		} else if !strings.Contains(strings.ReplaceAll(codes, "\n", " "), found[1]+" "+word) {
			t.Errorf("README.md does not say %s %s: %s", found[1], word, codes)
		}
	}
}

// awaitMethod waits until each of the methods has a server.
func awaitMethod(t *testing.T, url string, methods ...string) {
	t.Helper()
	c := newClient(t, client.Config{Broker: brokerAt(url)})
	patience.Eventually(t, "the methods are served", func() bool {
		for _, method := range methods {
			if n, err := c.Ping(withPatience(t), method); err != nil || n != 1 {
				return false
			}
		}
		return true
	})
}
