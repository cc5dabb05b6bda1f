package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
)

var discarded = slog.New(slog.DiscardHandler)

// filledRecords is how many there are in a store that was filled.
var filledRecords = len(storedCalls) + 3

func TestStoreInDatabaseIsReadWhileItIsOpen(t *testing.T) {
	t.Parallel()
	for kind, raw := range databaseURLs(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			fillStore(t, raw)
			run := func(args ...string) *tool {
				r := command("", append([]string{"store"}, args...)...)
				r.cmd.Env = append(r.cmd.Env, "WARREN_STORE="+raw)
				return r.start(t).wait(t).want(t, 0).wantNoPassword(t, raw)
			}

			stats := run("stats", "--json").object(t)
			want := map[string]any{"completed": 4.0, "failed": 1.0, "in_progress": 1.0, "interrupted": 1.0, "parked": 1.0, "tombstone": 1.0}
			if fmt.Sprint(stats["records"]) != fmt.Sprint(want) || stats["total"] != float64(filledRecords) {
				t.Errorf("stats are %v", stats)
			}
			wantKeys(t, stats, "url", "id", "records", "total", "size", "created")
			if text := as[string](t, stats["url"]); !strings.Contains(text, ":***@") {
				t.Errorf("the URL is shown as %s", text)
			}
			if out := run("stats").stdout.String(); !strings.Contains(out, "in_progress") || !strings.Contains(out, ":***@") {
				t.Errorf("stats are %s", out)
			}

			for id, want := range map[string]string{
				"json": `"body":{"a":[1,2.50]}`, "failed": `"reason":"no_such_user"`, "working": `"state":"in_progress"`, "interrupted": `"state":"interrupted"`,
			} {
				r := run("get", "--json", "--method", deadMethod, "--call-id", id)
				if !strings.Contains(r.stdout.String(), want) {
					t.Errorf("no %s in %s", want, r.stdout.String())
				}
				if key := as[string](t, r.object(t)["key"]); run("get", "--json", key).stdout.String() != r.stdout.String() {
					t.Errorf("%s is another by its key", id)
				}
			}

			for filter, want := range map[string]int{"": filledRecords, "--state=in_progress": 1, "--state=completed": 4, "--method=nobody": 0} {
				out := run(append([]string{"export"}, strings.Fields(filter)...)...).stdout.String()
				keys := map[string]bool{}
				for line := range strings.Lines(out) {
					var record storeRecord
					if err := json.Unmarshal([]byte(line), &record); err != nil {
						t.Fatal(err)
					}
					keys[record.Key] = true
				}
				if len(keys) != want || strings.Count(out, "\n") != want {
					t.Errorf("export %s prints %d records: %s", filter, len(keys), out)
				}
			}

			if out := run("check").stdout.String(); !strings.Contains(out, fmt.Sprintf("%d records, nothing wrong", filledRecords)) {
				t.Errorf("check says %q", out)
			}
			if swept := run("sweep", "--json").object(t); swept["forgotten"] != 0.0 {
				t.Errorf("sweep says %v", swept)
			}
			if text := invokeStore(t, "compact", raw).want(t, exitUsage).wantNoPassword(t, raw).wantLine(t); !strings.Contains(text, "only files are compacted") {
				t.Errorf("compact says %q", text)
			}
		})
	}
}

func TestStoreThatIsNotThereIsNotMade(t *testing.T) {
	t.Parallel()
	inPostgres, inRedis := newPostgresURL(t), withQuery(t, sharedRedis(t).URL(), "prefix", "nobody")
	for raw, want := range map[string]string{inPostgres: "warren store migrate", inRedis: "there is no store"} {
		for range 2 {
			for _, command := range []string{"stats", "check", "export", "sweep"} {
				r := invokeStore(t, command, raw).want(t, exitInternal).wantNoPassword(t, raw)
				if text := r.wantLine(t); !strings.Contains(text, want) {
					t.Errorf("%s: %s", command, text)
				}
			}
		}
	}
	r := invoke(t, "amqp://127.0.0.1:1/", "serve", "--store", inPostgres).want(t, exitInternal).wantNoPassword(t, inPostgres)
	if text := r.wantLine(t); !strings.Contains(text, "warren store migrate") {
		t.Errorf("serve: %s", text)
	}
}

func TestMigrateMakesTheSchemaAndGrantsARole(t *testing.T) {
	t.Parallel()
	raw := newPostgresURL(t)
	schema := as[string](t, invokeStore(t, "migrate", "--json", raw).want(t, 0).wantNoPassword(t, raw).object(t)["schema"])
	if !strings.Contains(raw, "schema="+schema+"&") {
		t.Errorf("schema %s of %s", schema, raw)
	}
	before := invokeStore(t, "stats", "--json", raw).want(t, 0).stdout.String()
	role := schema + "_server"
	if _, err := sharedPostgres(t).Exec(t.Context(), "CREATE ROLE "+role+" LOGIN PASSWORD 'a secret of its own'"); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "a secret of its own")
	if text := invokeStore(t, "stats", u.String()).want(t, exitInternal).wantNoPassword(t, u.String()).wantLine(t); !strings.Contains(text, "permission denied") {
		t.Errorf("stats of a role without rights: %s", text)
	}
	out := invokeStore(t, "migrate", "--store", raw, "--role", role, "--period", "24h").want(t, 0).wantNoPassword(t, raw).stdout.String()
	if !strings.Contains(out, "schema "+schema+" is up to date") {
		t.Errorf("migrate says %q", out)
	}
	invokeStore(t, "sweep", u.String()).want(t, 0)
	if after := invokeStore(t, "stats", "--json", raw).want(t, 0).stdout.String(); before != after {
		t.Errorf("migrated again it is another: %s, %s", before, after)
	}
	named := invokeStore(t, "migrate", "--json", "--schema", schema+"_b", raw).want(t, 0).object(t)
	if named["schema"] != schema+"_b" {
		t.Errorf("migrate says %v", named)
	}
	for line, want := range map[string]string{
		"migrate --period 1ms " + raw: "--period is 1ms", "migrate orders.db": "only stores in PostgreSQL",
		"migrate redis://localhost/0": "only stores in PostgreSQL", "migrate": "an argument is missing",
	} {
		if text := invokeStore(t, strings.Fields(line)...).want(t, exitUsage).wantNoPassword(t, raw).wantLine(t); !strings.Contains(text, want) {
			t.Errorf("%s: %q", line, text)
		}
	}
}

func TestCheckFindsARecordThatIsNotWhatWasWritten(t *testing.T) {
	t.Parallel()
	raw := databaseURLs(t)["postgres"]
	fillStore(t, raw)
	at, err := newStoreLocation(raw)
	if err != nil {
		t.Fatal(err)
	}
	p := as[*postgresLocation](t, at)
	if err := p.run(t.Context(), `UPDATE records SET payload = set_byte(payload, 0, get_byte(payload, 0) # 1) WHERE call_id = 'json'`); err != nil {
		t.Fatal(err)
	}
	r := invokeStore(t, "check", raw).want(t, exitBroken).wantNoPassword(t, raw)
	if out := r.stdout.String(); !strings.Contains(out, "call json of "+deadMethod) || strings.Count(out, "\n") != 1 {
		t.Errorf("check says %s", out)
	}
}
