package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// complete returns what bash, which has nothing but the tool's script, offers for the
// last word of a line.
func complete(t *testing.T, words ...string) []string {
	t.Helper()
	const script = `eval "$(warren completion bash)"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
complete -p warren | grep -q __warren_bash_autocomplete || exit 1
__warren_bash_autocomplete || exit 1
printf '%s\n' "${COMPREPLY[@]}"`
	bash := exec.Command("bash", append([]string{"--norc", "--noprofile", "-c", script, "bash", "warren"}, words...)...)
	bash.Env = append(os.Environ(), "PATH="+filepath.Dir(os.Getenv(binaryVariable))+":"+os.Getenv("PATH"))
	bash.Stderr = os.Stderr
	out, err := bash.Output()
	if err != nil {
		t.Fatalf("bash: %v", err)
	}
	return strings.Fields(string(out))
}

func TestBashCompletesCommandsAndFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words []string
		want  string // all that is offered
	}{
		{[]string{"pi"}, "ping"},
		{[]string{"c"}, "call config chaos completion"},
		{[]string{"dead", ""}, "list show replay drop"},
		{[]string{"completion", "z"}, "zsh"},
		{[]string{"call", "--idem"}, "--idempotent"},
		{[]string{"call", "rpc_queue", "--broker-s"}, "--broker-server-name"},
		{[]string{"dead", "list", "--li"}, "--limit"},
		{[]string{"serve", "--url", "amqp://localhost/", "--store-m"}, "--store-mode"},
		{[]string{"ping", "rpc"}, ""},
	} {
		if got := complete(t, c.words...); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%q is completed to %q, want %q", c.words, got, c.want)
		}
	}
	for _, word := range complete(t, "") {
		if word == "demo-server" || strings.HasPrefix(word, "chaos-") || strings.HasPrefix(word, "bench-") {
			t.Errorf("%s is offered, which is hidden", word)
		}
	}
}

func TestCompletionPrintsAScriptForEachShell(t *testing.T) {
	t.Parallel()
	for shell, want := range map[string]string{
		"bash": "complete -o bashdefault -o default -F __warren_bash_autocomplete warren",
		"zsh":  "compdef _warren warren", "fish": "complete -c warren", "pwsh": "Register-ArgumentCompleter",
	} {
		r := invoke(t, "", "completion", shell).want(t, 0)
		if !strings.Contains(r.stdout.String(), want) || r.said() != "" {
			t.Errorf("%s: %s, standard error %q", shell, r.stdout.String(), r.stderr.String())
		}
	}
	for _, line := range [][]string{{"completion"}, {"completion", "tcsh"}, {"completion", "bash", "x"}, {"completion", "--bogus"}} {
		invoke(t, "", line...).want(t, exitUsage).wantLine(t)
	}
}
