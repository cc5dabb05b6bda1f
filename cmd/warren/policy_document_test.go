package main

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// go test ./cmd/warren -run SimulationDocument -update
var update = flag.Bool("update", false, "write what the tool prints into docs/simulation.md, and the plots")

// documentTolerance is for machines that round otherwise.
const documentTolerance = 0.05

var (
	simulationBlock = regexp.MustCompile("(?s)```sh\nwarren (policy simulate [^\n]+)\n```\n\n```text\n(.*?)```\n")
	plotFile        = regexp.MustCompile(`docs/img/[\w-]+\.svg`)
	figures         = regexp.MustCompile(`\d[\d,]*(?:\.\d+)?`)
)

func TestSimulationDocumentIsWhatTheToolPrints(t *testing.T) {
	t.Parallel()
	const path = "../../docs/simulation.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	changed := simulationBlock.ReplaceAllStringFunc(string(text), func(block string) string {
		blocks++
		found := simulationBlock.FindStringSubmatch(block)
		kept := filepath.Join("../..", plotFile.FindString(found[1]))
		plot := filepath.Join(t.TempDir(), "plot.svg")
		line := strings.Replace(plotFile.ReplaceAllString(found[1], plot), "docs/examples/policy.yaml", examplePolicy, 1)
		out := invoke(t, "", strings.Fields(line)...).want(t, 0).stdout.String()
		if *update {
			if err := os.Rename(plot, kept); err != nil {
				t.Fatal(err)
			}
			return strings.Replace(block, "```text\n"+found[2]+"```", "```text\n"+out+"```", 1)
		}
		alike(t, found[1], found[2], out)
		alike(t, kept, heading(t, kept), heading(t, plot))
		return block
	})
	if blocks < 4 {
		t.Errorf("there are %d simulations", blocks)
	}
	if *update {
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// alike demands the same words and nearly the same figures. Lines of blocks are
// left out: a figure at a block's edge may fall to either side.
func alike(t *testing.T, what, told, printed string) {
	t.Helper()
	told, _, _ = strings.Cut(told, "\nseconds")
	printed, _, _ = strings.Cut(printed, "\nseconds")
	if figures.ReplaceAllString(told, "#") != figures.ReplaceAllString(printed, "#") {
		t.Errorf("%s: the document has\n%s\nand the tool prints\n%s", what, told, printed)
		return
	}
	was, is := figures.FindAllString(told, -1), figures.FindAllString(printed, -1)
	for i := range was {
		a, b := plain(t, was[i]), plain(t, is[i])
		if math.Abs(a-b) > documentTolerance*max(math.Abs(a), 1) {
			t.Errorf("%s: the document has %s, and the tool prints %s, in\n%s", what, was[i], is[i], printed)
		}
	}
}

func plain(t *testing.T, figure string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(strings.ReplaceAll(figure, ",", ""), 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// heading is the first lines of a plot: its size and its title.
func heading(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "<style>")
	return head
}
