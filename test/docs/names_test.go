package docs

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/warren-rpc/warren"
)

// source returns the Go files of the repository by their paths.
func source(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// The documents say which test shows what; such a test must be there.
func TestTestsThatDocumentsNameExist(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{}
	for file, text := range source(t) {
		if strings.HasSuffix(file, "_test.go") {
			for _, found := range regexp.MustCompile(`(?m)^func ((?:Test|Example|Fuzz)\w*)\(`).FindAllStringSubmatch(text, -1) {
				tests[found[1]] = true
			}
		}
	}
	named := 0
	for _, file := range documents(t) {
		for _, found := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(read(t, file), -1) {
			named++
			if !tests[found[1]] {
				t.Errorf("%s names %s, which is not there", file, found[1])
			}
		}
	}
	if named < 20 {
		t.Errorf("the documents name %d tests; want 20 or more", named)
	}
}

// The documents say which function of a file has a rule.
func TestFunctionsThatDocumentsPlaceInAFileAreThere(t *testing.T) {
	t.Parallel()
	said := regexp.MustCompile("((?:`\\w+`(?:, | and | or )?)+) of \\[([\\w./]+\\.go)\\]")
	placed := 0
	for _, file := range documents(t) {
		for _, found := range said.FindAllStringSubmatch(read(t, file), -1) {
			code := read(t, found[2])
			for _, name := range regexp.MustCompile(`\w+`).FindAllString(strings.NewReplacer(" and ", " ", " or ", " ").Replace(found[1]), -1) {
				placed++
				if !regexp.MustCompile(`(?m)^func (?:\([^)]*\) )?` + name + `\(`).MatchString(code) {
					t.Errorf("%s places %s in %s, which has no such function", file, name, found[2])
				}
			}
		}
	}
	if placed < 15 {
		t.Errorf("the documents place %d functions; want 15 or more", placed)
	}
}

func TestLinksAndPathsOfDocumentsExist(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	path := regexp.MustCompile("`((?:[\\w.-]+/)+[\\w.-]+\\.(?:go|md|sh|json))`")
	for _, file := range documents(t) {
		text := prose(t, file)
		var targets []string
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			targets = append(targets, filepath.Join(filepath.Dir(file), found[1]))
		}
		for _, found := range path.FindAllStringSubmatch(text, -1) {
			targets = append(targets, found[1])
		}
		for _, target := range targets {
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// A link to a heading finds it.
func TestHeadingsThatDocumentsLinkToExist(t *testing.T) {
	t.Parallel()
	files := documents(t)
	anchors := map[string]map[string]bool{}
	for _, file := range files {
		anchors[file] = map[string]bool{}
		for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(prose(t, file), -1) {
			anchors[file][anchor(heading[1])] = true
		}
	}
	linked := 0
	for _, file := range files {
		for _, found := range regexp.MustCompile(`\]\(([^)#:]*)#([^)]+)\)`).FindAllStringSubmatch(prose(t, file), -1) {
			target := file
			if found[1] != "" {
				target = filepath.Join(filepath.Dir(file), found[1])
			}
			linked++
			if !anchors[target][found[2]] {
				t.Errorf("%s: %s has no heading #%s", file, target, found[2])
			}
		}
	}
	if linked < 30 {
		t.Errorf("%d links to headings; want 30 or more", linked)
	}
}

// anchor is the name that a heading has in links.
func anchor(heading string) string {
	heading = regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(heading, " ", "-")
}

// Each document can be reached from the index, decisions from theirs.
func TestIndexHasEachDocument(t *testing.T) {
	t.Parallel()
	index := read(t, "docs/README.md")
	for _, file := range documents(t) {
		name, ok := strings.CutPrefix(file, "docs/")
		if ok && filepath.Dir(name) != "decisions" && name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/README.md does not name %s", name)
		}
	}
}

// Decisions are numbered in order, each by its file's name and its heading, and the index
// has them.
func TestDecisionsAreNumberedInOrder(t *testing.T) {
	t.Parallel()
	index := read(t, "docs/decisions/README.md")
	number := 0
	for _, file := range documents(t) { // in the order of their names
		if filepath.Dir(file) != "docs/decisions" || filepath.Base(file) == "README.md" {
			continue
		}
		number++
		heading, _, _ := strings.Cut(read(t, file), "\n")
		title, ok := strings.CutPrefix(heading, fmt.Sprintf("# %d. ", number))
		if !ok || !strings.HasPrefix(filepath.Base(file), fmt.Sprintf("%04d-", number)) {
			t.Errorf("%s is decision %d by its place, and has the heading %q", file, number, heading)
		}
		if line := fmt.Sprintf("| %d | [%s](%s) |\n", number, title, filepath.Base(file)); !strings.Contains(index, line) {
			t.Errorf("docs/decisions/README.md does not have %q", line)
		}
	}
	if number < 16 {
		t.Errorf("only %d decisions were found", number)
	}
}

// The table of errors has codes that there are and exactly the
// reasons that the library gives today.
func TestReasonsOfErrorsAreTheLibrarys(t *testing.T) {
	t.Parallel()
	files := source(t)
	used := map[string]bool{}
	for file, text := range files {
		library := strings.HasPrefix(file, "client/") || strings.HasPrefix(file, "server/") || strings.HasPrefix(file, "internal/")
		if library && !strings.HasSuffix(file, "_test.go") {
			for _, found := range regexp.MustCompile(`warren\.(Reason\w+)`).FindAllStringSubmatch(text, -1) {
				used[found[1]] = true
			}
		}
	}
	given := map[string]bool{}
	for _, found := range regexp.MustCompile(`(Reason\w+)\s+= "(\w+)"`).FindAllStringSubmatch(files["error.go"], -1) {
		if used[found[1]] {
			given[found[2]] = true
		}
	}
	listed := map[string]bool{}
	for code, reasons := range reasonsOfErrors(t) {
		if _, err := warren.ParseCode(code); err != nil {
			t.Errorf("%s: %v", errorsDoc, err)
		}
		for _, reason := range reasons {
			listed[reason] = true
		}
	}
	if !maps.Equal(given, listed) {
		t.Errorf("the library gives %q\n%s lists %q", slices.Sorted(maps.Keys(given)), errorsDoc, slices.Sorted(maps.Keys(listed)))
	}
}

const errorsDoc = "docs/errors.md"

// reasonsOfErrors returns the document's table of errors: the reasons of each code.
func reasonsOfErrors(t *testing.T) map[string][]string {
	t.Helper()
	reasons := map[string][]string{}
	for _, cells := range table(t, errorsDoc, "code | reasons that Warren gives") {
		code := strings.Trim(cells[0], "`")
		reasons[code] = nil
		for _, found := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			if _, err := warren.ParseCode(found[1]); err != nil {
				reasons[code] = append(reasons[code], found[1])
			}
		}
	}
	return reasons
}

// Where documents speak of a code and a reason, errors.md has the two together.
func TestErrorsThatDocumentsNameExist(t *testing.T) {
	t.Parallel()
	reasons, named := reasonsOfErrors(t), 0
	for _, file := range documents(t) {
		if file == gatewayDoc || strings.HasPrefix(file, "docs/wire") {
			continue // have vocabularies of their own
		}
		for _, found := range regexp.MustCompile("`([a-z_]+)/([a-z_]+)`").FindAllStringSubmatch(read(t, file), -1) {
			packages, _ := filepath.Glob(filepath.Join(root, found[1], found[2]))
			inner, _ := filepath.Glob(filepath.Join(root, "*", "*", found[1], found[2]))
			if _, err := warren.ParseCode(found[1]); err != nil || len(packages)+len(inner) > 0 {
				continue
			}
			named++
			if !slices.Contains(reasons[found[1]], found[2]) {
				t.Errorf("%s speaks of %s/%s, which %s does not list", file, found[1], found[2], errorsDoc)
			}
		}
	}
	if named < 40 {
		t.Errorf("the documents name %d errors; want 40 or more", named)
	}
}
