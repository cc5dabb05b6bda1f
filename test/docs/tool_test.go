package docs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

const toolDoc = "docs/tool.md"

var took = regexp.MustCompile(`\(\d+(?:\.\d+)? ms\)`)

// The document's commands are played by bash in a folder with its files.
func TestToolCommandsPrintWhatTheDocumentShows(t *testing.T) {
	t.Parallel()
	url, dir := rabbit.VHost(t), t.TempDir()
	tool := filepath.Join(dir, "warren")
	if err := os.Rename(build(t, "./cmd/warren"), tool); err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks(t, toolDoc, "yaml") {
		if err := os.WriteFile(filepath.Join(dir, b.name()), []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	played := 0
	for _, b := range blocks(t, toolDoc, "console") {
		for _, scene := range strings.Split("\n"+b.text, "\n$ ")[1:] {
			played++
			line, want, _ := strings.Cut(scene, "\n")
			if args, ok := strings.CutSuffix(line, " &"); ok {
				startDaemon(t, url, tool, strings.Fields(args)[1:]...)
				awaitSamples(t, url)
				continue
			}
			bash := exec.CommandContext(t.Context(), "bash", "-c", line)
			bash.Dir = dir
			bash.Env = append(environment(url), "PATH="+dir+":"+os.Getenv("PATH"), "XDG_CONFIG_HOME="+dir)
			out, err := bash.CombinedOutput()
			got := took.ReplaceAllString(string(out), "(0 ms)")
			var failed *exec.ExitError
			if err != nil && !errors.As(err, &failed) || strings.TrimSpace(got) != strings.TrimSpace(took.ReplaceAllString(want, "(0 ms)")) {
				t.Errorf("%s: %s (%v) printed\n%s\nnot\n%s", b.where(), line, err, got, want)
			}
		}
	}
	if played != 8 {
		t.Errorf("%d commands were played", played)
	}
	for _, b := range blocks(t, toolDoc, "sh") {
		for _, found := range regexp.MustCompile(`warren ((?:\w+ ?)+)`).FindAllStringSubmatch(b.text, -1) {
			args := append([]string{}, strings.Fields(found[1])...)
			if _, complaint, code := run(t, url, tool, append(args, "--help")...); code != 0 {
				t.Errorf("%s: warren %s: %s", b.where(), found[1], complaint)
			}
		}
	}
}

func awaitSamples(t *testing.T, url string) {
	t.Helper()
	c := newClient(t, client.Config{Broker: brokerAt(url)})
	patience.Eventually(t, "the samples are served", func() bool {
		for _, method := range []string{"rpc_queue", "users.email"} {
			if n, err := c.Ping(withPatience(t), method); err != nil || n != 1 {
				return false
			}
		}
		return true
	})
}

// The document has the settings and the exit codes of the tool.
func TestTablesOfTheToolsDocumentAreTheTools(t *testing.T) {
	t.Parallel()
	text := read(t, toolDoc)
	settings := regexp.MustCompile(`\{"([\w-]+)", "(WARREN_\w+)", "([\w.]+)"\}`).FindAllStringSubmatch(read(t, "cmd/warren/settings.go"), -1)
	if len(settings) < 9 {
		t.Fatalf("the tool has %d settings", len(settings))
	}
	for _, s := range settings {
		if row := "\n| `" + s[3] + "` | `--" + s[1] + "` | `" + s[2] + "` | "; !strings.Contains(text, row) {
			t.Errorf("%s has no row %s", toolDoc, strings.TrimSpace(row))
		}
	}
	codes := regexp.MustCompile(`(?m)^\texit\w+ += (\d+)`).FindAllStringSubmatch(read(t, "cmd/warren/exit.go"), -1)
	_, table, _ := strings.Cut(text, "\n| code | |\n|---|---|\n| 0 |")
	for _, code := range codes {
		if !strings.Contains(table, "\n| "+code[1]+" | ") {
			t.Errorf("%s does not tell exit code %s", toolDoc, code[1])
		}
	}
	if rows := strings.Count(table, "\n| "); len(codes) < 8 || rows != len(codes) {
		t.Errorf("the tool has %d exit codes, %s %d", len(codes), toolDoc, rows)
	}
}
