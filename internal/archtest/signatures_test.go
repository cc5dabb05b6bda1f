package archtest

import (
	"go/ast"
	"path"
)

// checkSignatures finds the driver's types in what a package exports. It goes by the source text: a name counts
// if its qualifier is the name under which the file imports the driver.
func checkSignatures(file *sourceFile) []finding {
	s := signatures{file: file}
	for _, spec := range file.syntax.Imports {
		if importPath(spec) != amqp {
			continue
		}
		switch {
		case spec.Name == nil:
			s.qualifier = "amqp091"
		case spec.Name.Name == ".":
			return []finding{file.finding(spec.Pos(), "imports %s into its own name space", path.Base(amqp))}
		default:
			s.qualifier = spec.Name.Name
		}
	}
	if s.qualifier == "" {
		return nil
	}
	for _, decl := range file.syntax.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			// A method of an unexported type may implement an interface of an internal package. That nobody
			// outside is handed such a value is the linter's business (revive, unexported-return).
			if decl.Name.IsExported() && (decl.Recv == nil || receiver(decl).IsExported()) {
				s.check(decl.Name, decl.Type)
			}
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				s.spec(spec)
			}
		}
	}
	return s.found
}

// receiver names the type whose method decl is.
func receiver(decl *ast.FuncDecl) *ast.Ident {
	expr := decl.Recv.List[0].Type
	for {
		switch x := expr.(type) {
		case *ast.StarExpr:
			expr = x.X
		case *ast.ParenExpr:
			expr = x.X
		case *ast.IndexExpr:
			expr = x.X
		case *ast.IndexListExpr:
			expr = x.X
		case *ast.Ident:
			return x
		default:
			panic("archtest: a receiver that does not compile") // Go's grammar has no other
		}
	}
}

type signatures struct {
	file      *sourceFile
	qualifier string
	found     []finding
}

func (s *signatures) spec(spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() {
			if spec.TypeParams != nil {
				s.check(spec.Name, spec.TypeParams)
			}
			s.check(spec.Name, spec.Type)
		}
	case *ast.ValueSpec:
		for i, name := range spec.Names {
			switch {
			case !name.IsExported():
			case spec.Type != nil:
				s.check(name, spec.Type)
			case len(spec.Values) == len(spec.Names):
				s.check(name, spec.Values[i]) // the type is the value's
			case len(spec.Values) == 1:
				s.check(name, spec.Values[0]) // a call with several results
			}
		}
	}
}

// check reports each mention of the driver below node that others can see. Fields and methods that are not
// exported are not seen, nor is the body of a function; an embedded type is, by its fields and methods.
func (s *signatures) check(name *ast.Ident, node ast.Node) {
	ast.Inspect(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BlockStmt:
			return false
		case *ast.StructType:
			s.fields(name, n.Fields)
			return false
		case *ast.InterfaceType:
			s.fields(name, n.Methods)
			return false
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == s.qualifier {
				s.found = append(s.found, s.file.finding(n.Pos(), "exported %s shows %s.%s of %s",
					name.Name, x.Name, n.Sel.Name, path.Base(amqp)))
			}
		}
		return true
	})
}

func (s *signatures) fields(name *ast.Ident, list *ast.FieldList) {
	for _, field := range list.List {
		seen := len(field.Names) == 0
		for _, n := range field.Names {
			seen = seen || n.IsExported()
		}
		if seen {
			s.check(name, field.Type)
		}
	}
}
