package policyfile_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/warren-rpc/warren/internal/configfile/schemacheck"
	"github.com/warren-rpc/warren/reliability/policyfile"
)

const published = "../../docs/schema/policy.schema.json"

var update = flag.Bool("update", false, "write "+published)

func TestPublishedSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	if *update {
		if err := os.WriteFile(published, policyfile.Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(published)
	if err != nil || !bytes.Equal(text, policyfile.Schema()) {
		t.Errorf("docs/schema/policy.schema.json is stale (%v); write it anew: "+
			"go test ./reliability/policyfile -run TestPublishedSchemaIsCurrent -update", err)
	}
}

// What the schema and the parser refuse is the same, where a schema can say it.
func TestSchemaAgreesWithTheParser(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{
		string(text), "methods:", "methods: {}", "methods: {'*': }", "methods: {a: {timeout: 1h30m}}", "methods: {a: {budget: on, breaker: false}}",
		`{"$schema": "x", "methods": {"a.*": {"retry": {"codes": [], "attempts": 2.0}}}}`, "methods: {a: {idempotent: true, hedge: {delay: 0s}}}",
		"methods: {a: {bulkhead: {calls: 0}, budget: {ratio: 1, tokens: 3}}}", "methods: {a: {attempt_timeout: 1.5s}}",
	} {
		if errs := validate(t, good); len(errs) > 0 {
			t.Errorf("the schema refuses %.100s: %v", good, errs)
		}
		if _, _, err := policyfile.Parse("x", []byte(good)); err != nil {
			t.Errorf("the parser refuses %.100s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"[]", "{}", "{methods: {}, more: 1}", "methods: []", "methods: {a/b: {}}", "methods: {'a*b': {}}", "methods: {'': {}}", "methods: {a: 5}",
		"methods: {a: {timeout: 5}}", "methods: {a: {timeout: '5'}}", "methods: {a: {timeout: -1s}}", "methods: {a: {timeout: 1d}}",
		"methods: {a: {timout: 5s}}", "methods: {a: {idempotent: 'true'}}", "methods: {a: {retry: {attempts: 9}}}",
		"methods: {a: {retry: {attempts: 1.5}}}", "methods: {a: {retry: off}}", "methods: {a: {retry: {codes: unavailable}}}",
		"methods: {a: {retry: {codes: [nope]}}}", "methods: {a: {retry: {codes: [aborted, aborted]}}}", "methods: {a: {budget: no}}",
		"methods: {a: {budget: {ratio: 0}}}", "methods: {a: {budget: {token: 5}}}", "methods: {a: {breaker: {failures: 1.1}}}",
		"methods: {a: {hedge: {on: true}}}", "methods: {a: {bulkhead: {calls: -1}}}", "methods: {a: {attempts: 3}}", "methods: {a: {timeout: null}}",
	} {
		if errs := validate(t, bad); len(errs) == 0 {
			t.Errorf("the schema takes %s", bad)
		}
		if _, _, err := policyfile.Parse("x", []byte(bad)); err == nil {
			t.Errorf("the parser takes %s", bad)
		}
	}
}

// validate judges a document by the schema.
func validate(t *testing.T, document string) []string {
	t.Helper()
	wrong, err := schemacheck.Validate(policyfile.Schema(), []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return wrong
}
