package archtest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestProjectKeepsItsRules(t *testing.T) {
	t.Parallel()
	root := os.DirFS("../..")
	_, files, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	// A walk that finds nothing would pass.
	if !slices.ContainsFunc(files, func(f *sourceFile) bool { return f.name == "internal/archtest/doc.go" }) {
		t.Fatal("../.. is not the project's root, or its files were not found")
	}
	found, err := check(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

func TestEveryRuleIsReachableAndGivesAReason(t *testing.T) {
	t.Parallel()
	for i, r := range importRules {
		if r.reason == "" {
			t.Errorf("the rule of %s has no reason", r.packages)
		}
		for _, pkg := range r.packages {
			example := strings.NewReplacer("/...", "", "*", "x").Replace(pkg)
			first := slices.IndexFunc(importRules, func(r rule) bool { return matches(example, r.packages) })
			if first != i {
				t.Errorf("%s is already covered by the rule of %s", pkg, importRules[first].packages)
			}
		}
	}
}

// TestCheckCatches feeds the checker small projects, because a checker that finds nothing looks like a clean
// project.
func TestCheckCatches(t *testing.T) {
	t.Parallel()
	const own = "example.org/warren"
	long := strings.Repeat("//\n", maxLines)

	tests := []struct {
		name  string
		files map[string]string
		want  []string // a part of each finding, in order; none for a clean project
	}{
		// Imports.
		{name: "allowed imports", files: map[string]string{
			"warren.go":                "package warren; import _ `context`",
			"client/client.go":         "package client; import (_ `" + own + "`; _ `" + own + "/internal/wire`; _ `" + uuid + "`)",
			"client/client_test.go":    "package client; import (_ `testing`; _ `" + own + "/test/amqptest`)",
			"store/boltstore/store.go": "package boltstore; import (_ `" + own + "/store`; _ `go.etcd.io/bbolt/errors`)",
			"cmd/warren/main.go":       "package main; import (_ `" + own + "/client`; _ `" + own + "/test/chaos`; _ `example.com/cli`)",
		}},
		{name: "client imports server", files: map[string]string{
			"client/client.go": "package client\nimport _ `" + own + "/server`",
		}, want: []string{"client/client.go:2: client imports " + own + "/server; it may import the standard library, the root package"}},
		{name: "server imports client", files: map[string]string{
			"server/server.go": "package server; import _ `" + own + "/client`",
		}, want: []string{"server imports " + own + "/client"}},
		{name: "library imports cmd and test", files: map[string]string{
			"store/store.go":   "package store; import _ `" + own + "/cmd/warren/app`",
			"server/server.go": "package server; import _ `" + own + "/test/chaos`",
		}, want: []string{"server imports " + own + "/test/chaos", "store imports " + own + "/cmd/warren/app"}},
		{name: "root imports third party", files: map[string]string{
			"warren.go": "package warren; import _ `" + uuid + "`",
		}, want: []string{". imports " + uuid}},
		{name: "client imports the driver", files: map[string]string{
			"client/client.go": "package client; import _ `" + amqp + "`",
		}, want: []string{"client imports " + amqp}},
		{name: "bbolt outside boltstore", files: map[string]string{
			"store/memstore/store.go": "package memstore; import _ `go.etcd.io/bbolt`",
		}, want: []string{"store/memstore imports go.etcd.io/bbolt"}},
		{name: "a module whose path begins like ours", files: map[string]string{
			"client/client.go": "package client; import _ `" + own + "-tools/client`",
		}, want: []string{"client imports " + own + "-tools/client"}},
		{name: "rule broken behind a build tag", files: map[string]string{
			"client/x.go": "//go:build plan9\n\npackage client; import _ `" + own + "/server`",
		}, want: []string{"client imports"}},
		{name: "package without a rule", files: map[string]string{
			"util/util.go": "package util",
		}, want: []string{"package util has no rule"}},

		// Nested modules.
		{name: "nested module", files: map[string]string{
			"store/pgstore/go.mod":              "module " + own + "/store/pgstore\n",
			"store/pgstore/store.go":            "package pgstore; import (_ `" + own + "/store`; _ `github.com/jackc/pgx/v5`)",
			"store/pgstore/internal/sql/sql.go": "package sql; import _ `" + own + "/store/pgstore/internal/x`",
			"test/pg/go.mod":                    "module " + own + "/test/pg\n",
			"test/pg/pg.go":                     "package pg; import _ `" + own + "/test/chaos`",
		}},
		{name: "nested module imports test", files: map[string]string{
			"otel/go.mod":  "module " + own + "/otel\n",
			"otel/otel.go": "package otel; import _ `" + own + "/test/chaos`",
		}, want: []string{"otel imports " + own + "/test/chaos"}},
		{name: "nested modules' dependencies in the core", files: map[string]string{
			"cmd/warren/main.go":      "package main; import _ `github.com/jackc/pgx/v5`",
			"cmd/warren/main_test.go": "package main; import _ `go.opentelemetry.io/otel`",
		}, want: []string{"github.com/jackc/pgx/v5, which belongs in a nested module", "go.opentelemetry.io/otel, which"}},

		// testing.
		{name: "testing where it may be", files: map[string]string{
			"store/storetest/run.go":                  "package storetest; import _ `testing`",
			"internal/lifecycle/lifecycletest/run.go": "package lifecycletest; import _ `testing`",
			"test/amqptest/broker.go":                 "package amqptest; import _ `testing`",
			"client/client_test.go":                   "package client; import _ `testing`",
		}},
		{name: "testing linked in through a helper", files: map[string]string{
			"client/client.go": "package client; import _ `" + own + "/internal/lifecycle/lifecycletest`",
			"server/server.go": "package server; import _ `" + own + "/store/storetest`",
		}, want: []string{"client imports " + own + "/internal/lifecycle/lifecycletest", "server imports " + own + "/store/storetest"}},
		{name: "testing linked into libraries and the tool", files: map[string]string{
			"client/helper.go":   "package client; import _ `testing`",
			"cmd/warren/main.go": "package main; import _ `testing/iotest`",
		}, want: []string{"client imports testing outside a test file", "cmd/warren imports testing/iotest outside"}},

		// The driver's types. The import itself is a finding in these packages, hence the nested module.
		{name: "driver's types out of sight", files: map[string]string{
			"x/go.mod": "module " + own + "/x\n",
			"x/x.go": `package x; import amqp "` + amqp + `"
				type T struct { conn *amqp.Connection }
				type hidden struct { Conn *amqp.Connection }
				type I interface { accept(amqp.Delivery) }
				func accept(amqp.Delivery) {}
				func (h *hidden) Accept(amqp.Delivery) {}
				func F() { var d amqp.Delivery; accept(d) }
				var V = func() { F(); accept(amqp.Delivery{}) }
				var closed = amqp.ErrClosed`,
			"internal/broker/broker.go": "package broker; import `" + amqp + "`; func F() amqp091.Delivery",
		}},
		{name: "driver's types exported", files: map[string]string{
			"x/go.mod": "module " + own + "/x\n",
			"x/x.go": `package x; import amqp "` + amqp + `"
				func F(amqp.Delivery)
				func (t *T[A, B]) M() (<-chan map[string][]amqp.Return)
				type S struct { C *amqp.Connection }
				type E struct { *amqp.Channel }
				type A = amqp.Table
				type I interface { Accept(amqp.Confirmation) }
				type G[P amqp.Acknowledger] struct{}
				type N func(struct{ Q amqp.Queue })
				var V amqp.URI
				var W = amqp.ErrClosed
				func H[P interface{ amqp.Blocking }]()`,
		}, want: []string{
			"x/x.go:2: exported F shows amqp.Delivery of amqp091-go", "M shows amqp.Return", "S shows amqp.Connection",
			"E shows amqp.Channel", "A shows amqp.Table", "I shows amqp.Confirmation", "G shows amqp.Acknowledger",
			"N shows amqp.Queue", "V shows amqp.URI", "W shows amqp.ErrClosed", "H shows amqp.Blocking",
		}},
		{name: "driver under its own name", files: map[string]string{
			"x/go.mod": "module " + own + "/x\n",
			"x/x.go":   "package x; import `" + amqp + "`; func F(amqp091.Delivery)",
		}, want: []string{"F shows amqp091.Delivery"}},
		{name: "driver imported with a dot", files: map[string]string{
			"x/go.mod": "module " + own + "/x\n",
			"x/x.go":   "package x; import . `" + amqp + "`; func F(Delivery)",
		}, want: []string{"imports amqp091-go into its own name space"}},

		// Length.
		{name: "long files that may be", files: map[string]string{
			"limit.go":         "package warren\n" + strings.Repeat("//\n", maxLines-1),
			"reason.go":        "package warren\n\n// This file is long because it is one state machine.\n" + long,
			"first.go":         "// This file is long because its line is the first.\n\npackage warren\n" + long,
			"generated.go":     "// Code generated by protoc-gen-go. DO NOT EDIT.\n\npackage warren\n" + long,
			"long_test.go":     "package warren\n" + long,
			"testdata/long.go": "package warren\n" + long,
		}},
		{name: "long files", files: map[string]string{
			"late.go":  "package warren\n" + long + "// This file is long because the reason comes last.\n",
			"long.go":  "package warren\n" + long,
			"words.go": "package warren\nconst s = `// This file is long because`\n" + long,
		}, want: []string{"late.go:1: 402 lines, more than 400", "long.go:1: 401 lines", "words.go:1: 402 lines"}},
	}

	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := fstest.MapFS{"go.mod": {Data: []byte("// The core.\nmodule " + own + "\n\ngo 1.26\n")}}
			for name, text := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			found, err := check(root)
			if err != nil {
				t.Fatal(err)
			}
			for i := range max(len(found), len(tt.want)) {
				switch {
				case i >= len(found):
					t.Errorf("missed: %s", tt.want[i])
				case i >= len(tt.want):
					t.Errorf("unexpected: %s", found[i])
				case !strings.Contains(fmt.Sprint(found[i]), tt.want[i]):
					t.Errorf("found %s, want %s", found[i], tt.want[i])
				}
			}
		})
	}
}

func TestCheckRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	tests := map[string]fstest.MapFS{
		"no go.mod":      {"a.go": {Data: []byte("package a")}},
		"no module line": {"go.mod": {Data: []byte("go 1.26\n")}},
		"bad source":     {"go.mod": {Data: []byte("module a\n")}, "a.go": {Data: []byte("package")}},
	}
	for name, root := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := check(root); err == nil {
				t.Error("no error")
			}
		})
	}
}
