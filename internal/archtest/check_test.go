package archtest

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// sourceFile is one Go file of the project, parsed.
type sourceFile struct {
	name   string // relative to the root
	pkg    string // the folder, "." being the root
	module string // the folder of the nested module that it is in, or ""
	test   bool
	lines  int
	top    []byte // the first topLines lines
	fset   *token.FileSet
	syntax *ast.File
}

// finding is one broken rule and the place that breaks it.
type finding struct{ where, what string }

func (f finding) String() string { return f.where + ": " + f.what }

func (f *sourceFile) finding(pos token.Pos, format string, args ...any) finding {
	return finding{
		where: fmt.Sprintf("%s:%d", f.name, f.fset.Position(pos).Line),
		what:  fmt.Sprintf(format, args...),
	}
}

// load parses every Go file below root, whatever its build tags, and names the module in root's go.mod.
func load(root fs.FS) (module string, files []*sourceFile, err error) {
	if module, err = modulePath(root, "."); err != nil {
		return "", nil, err
	}
	var nested []string // folders of nested modules, outer before inner, each before its files
	err = fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name == "." {
				return nil
			}
			if ignored(entry.Name()) {
				return fs.SkipDir
			}
			if _, err := modulePath(root, name); err == nil {
				nested = append(nested, name)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		case path.Ext(name) != ".go":
			return nil
		}
		file, err := parse(root, name)
		if err != nil {
			return err
		}
		for _, dir := range nested {
			if strings.HasPrefix(name, dir+"/") {
				file.module = dir
			}
		}
		files = append(files, file)
		return nil
	})
	return module, files, err
}

// ignored reports the folders that the go command ignores, and npm's.
func ignored(dir string) bool {
	return dir == "testdata" || dir == "vendor" || dir == "node_modules" || dir[0] == '.' || dir[0] == '_'
}

func modulePath(root fs.FS, dir string) (string, error) {
	text, err := fs.ReadFile(root, path.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(rest), nil
		}
	}
	return "", fmt.Errorf("%s/go.mod: no module line", dir)
}

func parse(root fs.FS, name string) (*sourceFile, error) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	return &sourceFile{
		name:   name,
		pkg:    path.Dir(name),
		test:   strings.HasSuffix(name, "_test.go"),
		lines:  bytes.Count(text, []byte("\n")),
		top:    bytes.Join(lines[:min(topLines, len(lines))], nil),
		fset:   fset,
		syntax: syntax,
	}, nil
}

// check returns everything in the project below root that breaks a rule.
func check(root fs.FS) ([]finding, error) {
	module, files, err := load(root)
	if err != nil {
		return nil, err
	}
	var found []finding
	for _, file := range files {
		found = append(found, checkCoreModule(file)...)
		if file.test {
			continue
		}
		found = append(found, checkImports(module, file)...)
		found = append(found, checkTesting(file)...)
		found = append(found, checkLength(file)...)
		if !matches(file.pkg, mayExportAMQP) {
			found = append(found, checkSignatures(file)...)
		}
	}
	return found, nil
}

// checkImports holds a file's imports against its package's rule.
func checkImports(module string, file *sourceFile) []finding {
	var allowed rule
	at := slices.IndexFunc(importRules, func(r rule) bool { return matches(file.pkg, r.packages) })
	switch {
	case at >= 0:
		allowed = importRules[at]
	case file.module != "":
		allowed = nestedRule
		allowed.own = append(slices.Clone(allowed.own), file.module+"/...")
	default:
		return []finding{file.finding(file.syntax.Package,
			"package %s has no rule in internal/archtest/rules_test.go", file.pkg)}
	}

	var found []finding
	for _, spec := range file.syntax.Imports {
		imported := importPath(spec)
		own, isOwn := ownPackage(module, imported)
		switch {
		case isStandard(imported):
		case isOwn && matches(own, allowed.own):
		case !isOwn && matches(imported, allowed.external):
		default:
			found = append(found, file.finding(spec.Pos(), "%s imports %s; it may import %s: %s",
				file.pkg, imported, describe(allowed), allowed.reason))
		}
	}
	return found
}

func checkCoreModule(file *sourceFile) []finding {
	if file.module != "" {
		return nil
	}
	var found []finding
	for _, spec := range file.syntax.Imports {
		if imported := importPath(spec); matches(imported, nestedOnly) {
			found = append(found, file.finding(spec.Pos(),
				"%s imports %s, which belongs in a nested module: the core's go.mod stays small", file.pkg, imported))
		}
	}
	return found
}

func checkTesting(file *sourceFile) []finding {
	if matches(file.pkg, mayImportTesting) {
		return nil
	}
	var found []finding
	for _, spec := range file.syntax.Imports {
		if imported := importPath(spec); matches(imported, []string{"testing/..."}) {
			found = append(found, file.finding(spec.Pos(), "%s imports %s outside a test file; only %s may",
				file.pkg, imported, strings.Join(mayImportTesting, ", ")))
		}
	}
	return found
}

func checkLength(file *sourceFile) []finding {
	if file.lines <= maxLines || ast.IsGenerated(file.syntax) ||
		bytes.Contains(append([]byte("\n"), file.top...), []byte("\n"+longFileWords)) {
		return nil
	}
	return []finding{file.finding(file.syntax.Package,
		"%d lines, more than %d: split it, or say why within the first %d lines, in one that begins %q",
		file.lines, maxLines, topLines, longFileWords)}
}

func importPath(spec *ast.ImportSpec) string {
	imported, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		panic(err) // the parser accepts string literals only
	}
	return imported
}

// isStandard goes by what the go command goes by: no dot in the first element.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// ownPackage returns the folder of an import path that belongs to the project.
func ownPackage(module, imported string) (string, bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// matches reports whether a package is covered by one of the patterns that rule.packages describes.
func matches(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if pattern == anything {
			return true
		}
		dir, deep := strings.CutSuffix(pattern, "/...")
		if deep {
			return name == dir || strings.HasPrefix(name, dir+"/")
		}
		ok, err := path.Match(pattern, name)
		if err != nil {
			panic(err) // a mistyped pattern in rules_test.go
		}
		return ok
	})
}

func describe(r rule) string {
	all := slices.Concat([]string{"the standard library"}, r.own, r.external)
	if slices.Contains(all, ".") {
		all[slices.Index(all, ".")] = "the root package"
	}
	return strings.Join(all, ", ")
}
