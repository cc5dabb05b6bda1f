package docs

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/test/chaos"
	"github.com/warren-rpc/warren/test/chaos/check"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// element is one of an SVG file, with the text that it has directly.
type element struct {
	name, text string
	attributes map[string]string
}

func svg(t *testing.T, file string) (elements []element) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(read(t, file)))
	var open []int
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return elements
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attributes: map[string]string{}}
			for _, a := range token.Attr {
				e.attributes[a.Name.Local] = a.Value
			}
			open = append(open, len(elements))
			elements = append(elements, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				elements[open[len(open)-1]].text += string(token)
			}
		}
	}
}

// What the picture numbers is what the table explains.
func TestPlacesInThePictureAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	var inPicture, inTable, inDescription []string
	for _, e := range svg(t, "docs/img/call.svg") {
		switch {
		case e.attributes["class"] == "n":
			inPicture = append(inPicture, e.text)
		case e.name == "desc":
			for _, found := range regexp.MustCompile(`\b(\d+) `).FindAllStringSubmatch(e.text, -1) {
				inDescription = append(inDescription, found[1])
			}
		}
	}
	for _, cells := range table(t, "docs/concepts.md", "| what breaks here | what the caller is told | what happens next") {
		if len(cells) != 4 {
			t.Errorf("docs/concepts.md: the row %q has %d cells", cells[0], len(cells))
		}
		inTable = append(inTable, cells[0])
	}
	var want []string
	for n := range 11 {
		want = append(want, fmt.Sprint(n+1))
	}
	for where, got := range map[string][]string{"picture": inPicture, "table": inTable, "description": inDescription} {
		if !slices.Equal(got, want) {
			t.Errorf("the %s has the places %q", where, got)
		}
	}
}

// Who cannot see pictures has their titles, and who reads in the dark other colours.
func TestPicturesAreAccessible(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root, "docs/img/*.svg"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d pictures, %v", len(files), err)
	}
	for _, path := range files {
		file, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		elements, style := svg(t, file), ""
		for _, e := range elements {
			if e.name == "style" {
				style = e.text
			}
		}
		if e := elements[0]; e.name != "svg" || e.attributes["role"] != "img" || e.attributes["viewBox"] == "" {
			t.Errorf("%s: %+v", file, e)
		}
		if e := elements[1]; e.name != "title" || strings.TrimSpace(e.text) == "" {
			t.Errorf("%s: begins with %+v and not with a title", file, e)
		}
		if !strings.Contains(style, "prefers-color-scheme:dark") {
			t.Errorf("%s has no colours for dark", file)
		}
	}
	for _, file := range documents(t) {
		for _, found := range regexp.MustCompile(`!\[([^]]*)\]`).FindAllStringSubmatch(read(t, file), -1) {
			if len(found[1]) < 10 {
				t.Errorf("%s: %s says too little of its picture", file, found[0])
			}
		}
	}
}

// The invariants of docs/chaos.md are those that chaos runs judge.
func TestInvariantsOfChaosAreTheJudges(t *testing.T) {
	t.Parallel()
	report, err := check.Check(history.Of(), check.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var judged []string
	for _, i := range report.Invariants {
		judged = append(judged, string(i.Name))
	}
	slices.Sort(judged)
	named := tableNames(t, "docs/chaos.md", "invariant")
	for _, name := range judged {
		if !slices.Contains(named, name) {
			t.Errorf("docs/chaos.md does not name %s", name)
		}
	}
	for _, name := range named {
		if !slices.Contains(judged, name) {
			t.Errorf("docs/chaos.md names %s, which is not judged", name)
		}
	}
}

// Faults that programs of documents ask for are there.
func TestFaultsThatDocumentsNameExist(t *testing.T) {
	t.Parallel()
	lists := 0
	for _, file := range documents(t) {
		for _, found := range regexp.MustCompile(`Faults: \[\]string\{([^}]*)\}`).FindAllStringSubmatch(read(t, file), -1) {
			lists++
			if err := chaos.Check(strings.Split(strings.ReplaceAll(strings.ReplaceAll(found[1], `"`, ""), " ", ""), ",")); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	if lists == 0 {
		t.Error("no document chooses faults")
	}
}

// Each block is in a language that a test reads.
func TestEveryBlockIsChecked(t *testing.T) {
	t.Parallel()
	checked := []string{"go", "sh", "console", "yaml", "python"}
	for _, file := range []string{
		"README.md", "docs/README.md", "docs/concepts.md", "docs/errors.md", "docs/recipes.md", operationsDoc, "docs/comparison.md",
		"docs/guarantees.md", "docs/chaos.md",
	} {
		for i, found := range regexp.MustCompile("(?m)^```(.*)$").FindAllStringSubmatch(read(t, file), -1) {
			if i%2 == 0 && !slices.Contains(checked, found[1]) {
				t.Errorf("%s has a block of %q", file, found[1])
			}
		}
	}
}
