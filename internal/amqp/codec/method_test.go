package codec

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
)

func TestEveryMethodSurvivesTheWire(t *testing.T) {
	for _, factory := range methods {
		t.Run(factory().Name(), func(t *testing.T) {
			for n := range uint(1) << bitCount(factory()) {
				sent := factory()
				fill(t, sent, n)
				payload := mustAppendMethod(t, sent)
				received, err := DecodeMethod(payload)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(received, sent) {
					t.Fatalf("received %+v, sent %+v", received, sent)
				}
				if again := mustAppendMethod(t, received); !bytes.Equal(again, payload) {
					t.Fatalf("encoded again to %x, was %x", again, payload)
				}
			}
		})
	}
}

func TestEveryMethodSurvivesTheWireEmpty(t *testing.T) {
	for _, factory := range methods {
		received, err := DecodeMethod(mustAppendMethod(t, factory()))
		if err != nil || !reflect.DeepEqual(received, factory()) {
			t.Errorf("%s: received %+v, %v", factory().Name(), received, err)
		}
	}
}

// What walks is a method; one that is missing from methods would not be decoded, nor tested here.
func TestEveryMethodIsRegisteredUnderItsName(t *testing.T) {
	declared := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil || f.Name.Name != "ID" {
				continue
			}
			if star, ok := f.Recv.List[0].Type.(*ast.StarExpr); ok {
				declared[star.X.(*ast.Ident).Name] = true //nolint:errcheck // A type without parameters is an Ident.
			}
		}
	}
	if len(declared) != 64 {
		t.Errorf("%d methods are declared, not 64", len(declared))
	}
	for _, factory := range methods {
		m := factory()
		name := reflect.TypeOf(m).Elem().Name()
		if !declared[name] {
			t.Errorf("%s is registered twice, or not declared", name)
		}
		delete(declared, name)
		if m.Name() != wireName(name) {
			t.Errorf("%s is named %q", name, m.Name())
		}
		if class, method := m.ID(); MethodName(class, method) != m.Name() {
			t.Errorf("%d.%d is %s and %s", class, method, m.Name(), MethodName(class, method))
		}
	}
	for name := range declared {
		t.Errorf("%s is not registered", name)
	}
}

// wireName writes BasicGetOk as basic.get-ok.
func wireName(typeName string) string {
	var b strings.Builder
	separator := '.'
	for i, r := range typeName {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteRune(separator)
			separator = '-'
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func TestMethodNameOfUnknownMethodsIsEmpty(t *testing.T) {
	for _, id := range [][2]uint16{{0, 0}, {60, 0}, {61, 40}, {30, 10}, {40, 41}} {
		if name := MethodName(id[0], id[1]); name != "" {
			t.Errorf("%d.%d is named %q", id[0], id[1], name)
		}
	}
}

func TestContentFollowsWhatCarriesAMessage(t *testing.T) {
	carries := map[string]bool{"basic.publish": true, "basic.return": true, "basic.deliver": true, "basic.get-ok": true}
	for _, factory := range methods {
		if m := factory(); HasContent(m) != carries[m.Name()] {
			t.Errorf("HasContent(%s) = %v", m.Name(), HasContent(m))
		}
	}
}

func TestReservedFieldsAreSkipped(t *testing.T) {
	payload := []byte{0, 10, 0, 40, 1, '/', 3, 'c', 'a', 'p', 1}
	m, err := DecodeMethod(payload)
	if err != nil {
		t.Fatal(err)
	}
	if want := (&ConnectionOpen{VirtualHost: "/"}); !reflect.DeepEqual(m, want) {
		t.Errorf("decoded %+v", m)
	}
	if got, want := mustAppendMethod(t, m), []byte{0, 10, 0, 40, 1, '/', 0, 0}; !bytes.Equal(got, want) {
		t.Errorf("encoded %x, want %x", got, want)
	}
}

func TestMethodsCutAnywhereAreSyntaxErrors(t *testing.T) {
	for _, factory := range methods {
		m := factory()
		fill(t, m, ^uint(0))
		class, method := m.ID()
		payload := mustAppendMethod(t, m)
		for _, wrong := range append(prefixes(payload[:min(len(payload), 300)]), append(bytes.Clone(payload), 0)) {
			if bytes.Equal(wrong, payload) {
				continue
			}
			got, err := DecodeMethod(wrong)
			var amqpError *Error
			if got != nil || !errors.As(err, &amqpError) || amqpError.Code != SyntaxError {
				t.Fatalf("%s of %d octets as %d: %v, %v", m.Name(), len(payload), len(wrong), got, err)
			}
			if len(wrong) >= 4 && (amqpError.ClassID != class || amqpError.MethodID != method) {
				t.Fatalf("%s is blamed on %d.%d", m.Name(), amqpError.ClassID, amqpError.MethodID)
			}
		}
	}
}

func prefixes(b []byte) [][]byte {
	var all [][]byte
	for i := range len(b) + 1 {
		all = append(all, b[:i:i])
	}
	return all
}

func TestUnknownMethodsAreNotImplemented(t *testing.T) {
	for _, id := range [][2]uint16{{0, 0}, {30, 10}, {60, 41}, {65535, 65535}} {
		payload := []byte{byte(id[0] >> 8), byte(id[0]), byte(id[1] >> 8), byte(id[1]), 1, 2, 3}
		_, err := DecodeMethod(payload)
		var amqpError *Error
		if !errors.As(err, &amqpError) || amqpError.Code != NotImplemented ||
			amqpError.ClassID != id[0] || amqpError.MethodID != id[1] {
			t.Errorf("%v: %+v", id, err)
		}
	}
}

func TestWhatHasNoFormOnTheWireIsNotEncoded(t *testing.T) {
	long := strings.Repeat("x", 256)
	deep := Table{}
	for range MaxDepth {
		deep = Table{{"in", deep}}
	}
	ring := []any{nil, nil}
	ring[0], ring[1] = ring, ring
	arguments := func(v any) Method { return &QueueUnbind{Arguments: Table{{"k", v}}} }
	for name, m := range map[string]Method{
		"short string":      &BasicPublish{Exchange: long},
		"key":               &QueueUnbind{Arguments: Table{{long, nil}}},
		"int":               arguments(1),
		"uint64":            arguments(uint64(1)),
		"map":               arguments(map[string]any{}),
		"pointer":           arguments(&Table{}),
		"unknown in array":  arguments([]any{[]string{"x"}}),
		"too deep":          arguments(deep),
		"too many values":   arguments(make([]any, MaxValues)),
		"array in itself":   arguments(ring),
		"too many in parts": &QueueUnbind{Arguments: Table{{"a", make([]any, MaxValues/2)}, {"b", make([]any, MaxValues/2)}}},
	} {
		dst := []byte("before")
		got, err := AppendMethod(dst, m)
		if err == nil || string(got) != "before" {
			t.Errorf("%s: %d octets, %v", name, len(got), err)
		}
	}
}
