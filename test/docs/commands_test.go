package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/rabbit"
)

// aptLine is what a machine without make needs.
const aptLine = "apt-get update && apt-get install -y make"

func TestReadmeCommandsExist(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	tool := build(t, "./cmd/warren")
	startDaemon(t, url, tool, "serve")
	c := newClient(t, client.Config{Broker: brokerAt(url)})
	waitFor(t, "the sample services are served", func() bool {
		for _, method := range []string{"rpc_queue", "users.email", "sample.echo"} {
			if n, err := c.Ping(withPatience(t), method); err != nil || n != 1 {
				return false
			}
		}
		return true
	})
	makefile := read(t, "Makefile")
	var seen []string
	for _, b := range blocks(t, "README.md", "sh") {
		for line := range strings.Lines(b.text) {
			command, comment, _ := strings.Cut(line, "#")
			command, comment = strings.TrimSpace(command), strings.TrimSpace(comment)
			words := strings.Fields(command)
			switch {
			case command == aptLine:
				continue
			case len(words) == 2 && words[0] == "make":
				if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(words[1]) + `:`).MatchString(makefile) {
					t.Errorf("%s: the Makefile has no target %s", b.where(), words[1])
				}
			case len(words) > 3 && strings.HasPrefix(command, "go run ./cmd/warren "):
				seen = append(seen, words[3])
				toolCommand{t, tool, url}.check(b, words[3:], comment)
			default:
				t.Errorf("%s: this test does not know the command %q", b.where(), command)
			}
		}
	}
	help, _, _ := run(t, url, tool, "help")
	_, commands, _ := strings.Cut(help, "COMMANDS:\n")
	commands, _, _ = strings.Cut(commands, "\n\n")
	for line := range strings.Lines(commands) {
		name := strings.Trim(strings.Fields(line)[0], ",")
		if !slices.Contains(seen, name) {
			t.Errorf("README.md does not show the command %s", name)
		}
	}
}

type toolCommand struct {
	t         *testing.T
	tool, url string
}

// check demands that the command and its flags are known, and, of one that takes
// no time, that it does what its comment says.
func (c toolCommand) check(b block, args []string, comment string) {
	c.t.Helper()
	help, _, code := run(c.t, c.url, c.tool, "help", args[0])
	if args[0] == "help" {
		help, _, code = run(c.t, c.url, c.tool, args...)
	}
	if code != 0 {
		c.t.Errorf("%s: the tool has no command %s", b.where(), args[0])
		return
	}
	for _, arg := range args {
		if strings.HasPrefix(arg, "--") && !strings.Contains(help, arg+" ") {
			c.t.Errorf("%s: %s has no flag %s", b.where(), args[0], arg)
		}
	}
	if args[0] != "call" && args[0] != "ping" {
		return
	}
	out, complaint, code := run(c.t, c.url, c.tool, args...)
	const fromServer = 5 // there is no user 7
	if code != 0 && code != fromServer {
		c.t.Errorf("%s: warren %s ended with %d: %s%s", b.where(), strings.Join(args, " "), code, out, complaint)
	}
	if result := regexp.MustCompile(`^\d+`).FindString(comment); result != "" && strings.TrimSpace(out) != result {
		c.t.Errorf("%s: warren %s printed %q", b.where(), strings.Join(args, " "), out)
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
