package docs

import (
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

func TestLinksAndPathsOfDocumentsExist(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	path := regexp.MustCompile("`((?:[\\w.-]+/)+[\\w.-]+\\.(?:go|md|sh|json))`")
	for _, file := range documents(t) {
		text := read(t, file)
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

// The README's table of errors has the codes that there are and exactly the
// reasons that the library gives today.
func TestReasonsOfTheReadmeAreTheLibrarys(t *testing.T) {
	t.Parallel()
	files := source(t)
	given := map[string]bool{}
	for _, found := range regexp.MustCompile(`(Reason\w+)\s+= "(\w+)"`).FindAllStringSubmatch(files["error.go"], -1) {
		use := regexp.MustCompile(`\bwarren\.` + found[1] + `\b`)
		for file, text := range files {
			library := strings.HasPrefix(file, "client/") || strings.HasPrefix(file, "server/") || strings.HasPrefix(file, "internal/") ||
				file == "reliability/breaker.go"
			if library && !strings.HasSuffix(file, "_test.go") && use.MatchString(text) {
				given[found[2]] = true
			}
		}
	}
	_, table, _ := strings.Cut(read(t, "README.md"), "| code | reasons that Warren gives |\n|---|---|\n")
	table, _, ok := strings.Cut(table, "\n\n")
	if !ok {
		t.Fatal("README.md has no table of reasons")
	}
	listed := map[string]bool{}
	for line := range strings.Lines(table) {
		for i, found := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(line, -1) {
			if _, err := warren.ParseCode(found[1]); i == 0 && err != nil {
				t.Errorf("README.md: %v", err)
			} else if err != nil {
				listed[found[1]] = true
			}
		}
	}
	delete(listed, "Ready")
	if !maps.Equal(given, listed) {
		t.Errorf("the library gives %q\nREADME.md lists %q", slices.Sorted(maps.Keys(given)), slices.Sorted(maps.Keys(listed)))
	}
}
