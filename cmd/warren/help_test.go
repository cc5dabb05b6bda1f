package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// Each visible command has examples, and they name commands and flags that are
// there.
func TestHelpOfEveryVisibleCommandHasExamplesThatExist(t *testing.T) {
	t.Parallel()
	root := rootCommand(strings.NewReader(""), io.Discard, io.Discard)
	if err := root.Run(t.Context(), []string{"warren", "--help"}); err != nil {
		t.Fatal(err)
	}
	seen := 0
	var visit func(cmd *cli.Command)
	visit = func(cmd *cli.Command) {
		_, examples, ok := strings.Cut(cmd.Description, "Examples:\n")
		if !ok {
			t.Errorf("%s has no examples", cmd.FullName())
		}
		lines := 0
		for line := range strings.Lines(examples) {
			_, command, ok := strings.Cut(line, "warren ")
			if !ok {
				continue
			}
			lines++
			checkExample(t, root, strings.Fields(command))
		}
		if ok && lines == 0 {
			t.Errorf("%s has no example with warren", cmd.FullName())
		}
		seen++
		for _, sub := range cmd.VisibleCommands() {
			if sub.Name != "help" {
				visit(sub)
			}
		}
	}
	visit(root)
	if seen < 30 {
		t.Errorf("only %d commands were seen", seen)
	}
}

func checkExample(t *testing.T, cmd *cli.Command, words []string) {
	t.Helper()
	line := strings.Join(words, " ")
	for len(words) > 0 && cmd.Command(words[0]) != nil {
		cmd, words = cmd.Command(words[0]), words[1:]
	}
	if cmd.Name == "warren" {
		t.Errorf("no command: %s", line)
	}
	for _, word := range words {
		if word == "--" || strings.ContainsAny(word, "|<>;#") {
			return
		}
		name, isFlag := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		if isFlag && !slices.ContainsFunc(cmd.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) }) {
			t.Errorf("%s has no flag --%s: %s", cmd.FullName(), name, line)
		}
	}
}

func TestHelpSaysWhatScriptsNeed(t *testing.T) {
	t.Parallel()
	for command, words := range map[string][]string{
		"":       {"Exit codes", "WARREN_URL", "WARREN_CONFIG", "warren config"},
		"call":   {"exit code", "1ms to 24h", "default: 10s", "WARREN_TIMEOUT", "WARREN_CONFIG"},
		"ping":   {"exit code", "default: 10s"},
		"queues": {"exit code", "WARREN_MANAGEMENT_URL", "100ms to 1h"},
		"config": {"exit code", "$XDG_CONFIG_HOME"},
	} {
		out := invoke(t, "", append(strings.Fields(command), "--help")...).want(t, 0).stdout.String()
		for _, word := range words {
			if !strings.Contains(out, word) {
				t.Errorf("warren %s --help does not say %q:\n%s", command, word, out)
			}
		}
	}
}

func TestHelpIsOfTheCommandHoweverItIsAskedFor(t *testing.T) {
	t.Parallel()
	for command, ways := range map[string][]string{
		"call":            {"help call", "h call", "call rpc_queue --help", "call -h rpc_queue 30", "help call rpc_queue"},
		"dead replay":     {"help dead replay", "h dead replay", "dead replay --help orders.place", "dead replay orders.place -h"},
		"dead":            {"help dead", "dead --help"},
		"completion bash": {"help completion bash", "completion bash --help"},
	} {
		want := invoke(t, "", append(strings.Fields(command), "--help")...).want(t, 0).stdout.String()
		if !strings.HasPrefix(want, "NAME:\n   warren "+command+" ") {
			t.Errorf("the help of %s is\n%s", command, want)
		}
		for _, way := range ways {
			if got := invoke(t, "", strings.Fields(way)...).want(t, 0).stdout.String(); got != want {
				t.Errorf("warren %s:\n%s\nwant\n%s", way, got, want)
			}
		}
	}
	// To ask for help calls nothing.
	for _, line := range []string{"help call -- rpc_queue", "help call --timeout 1s rpc_queue", "help call --header"} {
		if r := invoke(t, "amqp://127.0.0.1:1/", strings.Fields(line)...); r.code != 0 && r.code != exitUsage {
			t.Errorf("warren %s ends with %d: %s", line, r.code, r.stderr.String())
		}
	}
	for _, line := range []string{"help nosuch", "help dead nosuch", "help nosuch dead"} {
		invoke(t, "", strings.Fields(line)...).want(t, exitUsage).wantLine(t)
	}
}
