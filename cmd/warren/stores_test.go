package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStoreIsNamedByArgumentFlagVariableOrFile(t *testing.T) {
	t.Parallel()
	orders, other := newStoreFile(t), newStoreFile(t)
	key := scopeOf("json").Key().String()
	settings := filepath.Join(filepath.Dir(orders), "config.yaml")
	if err := os.WriteFile(settings, []byte("store: orders.db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		variable string
		args     []string
		want     string // of the file
	}{
		"argument":                        {"", []string{"check", orders}, orders},
		"flag":                            {"", []string{"check", "--store", orders}, orders},
		"variable":                        {orders, []string{"check"}, orders},
		"file":                            {"", []string{"check", "--config", settings}, orders},
		"argument before the variable":    {other, []string{"check", orders}, orders},
		"flag before the variable":        {other, []string{"check", "--store", orders}, orders},
		"variable before the file":        {orders, []string{"check", "--config", settings}, orders},
		"argument with a key":             {"", []string{"get", orders, key}, ""},
		"flag with a key":                 {"", []string{"get", "--store", orders, key}, ""},
		"variable with a key":             {orders, []string{"get", key}, ""},
		"argument before it, with a key":  {other + ".no", []string{"get", orders, key}, ""},
		"argument before it, without one": {other + ".no", []string{"get", orders, "--method", deadMethod, "--call-id", "json"}, ""},
	} {
		r := command("", append([]string{"store"}, c.args...)...)
		r.cmd.Env = append(r.cmd.Env, "WARREN_STORE="+c.variable)
		out := r.start(t).wait(t).want(t, 0).stdout.String()
		if c.want != "" && out != c.want+": 10 records, nothing wrong\n" || c.want == "" && !strings.Contains(out, key) {
			t.Errorf("%s: %q", name, out)
		}
	}
}

func TestStoreThatCannotBeIsWrongUsage(t *testing.T) {
	t.Parallel()
	file := newStoreFile(t)
	for line, want := range map[string]string{
		"store stats mysql://u:s3cr3t@h/db":                  "the scheme must be",
		"store stats --store= x":                             "--store is empty",
		"store stats --store " + file + " x":                 "unexpected argument",
		"store check host=h password=s3cr3t":                 "is neither",
		"serve --store mysql://u:s3cr3t@h/db":                "the scheme must be",
		"config --store mysql://u:s3cr3t@h/db":               "the scheme must be",
		"store adopt --store mysql://u:s3cr3t@h/db orders":   "the scheme must be",
		"store export --store " + file + " --state inflight": "there is no state",
	} {
		args := strings.Fields(line)
		if strings.Contains(line, "host=") {
			args = []string{"store", "check", "host=h password=s3cr3t"}
		}
		r := invoke(t, "", args...).want(t, exitUsage)
		if text := r.wantLine(t); !strings.Contains(text, want) || strings.Contains(text, "s3cr3t") {
			t.Errorf("%s: %q", line, text)
		}
	}
}

func TestSweepForgetsWhatIsPastItsRetention(t *testing.T) {
	t.Parallel()
	path := newStoreFile(t)
	if out := invokeStore(t, "sweep", path).want(t, 0).stdout.String(); out != path+": 2 records forgotten\n" {
		t.Errorf("sweep says %q", out)
	}
	object := wantKeys(t, invokeStore(t, "sweep", "--json", path).want(t, 0).object(t), "forgotten")
	if object["forgotten"] != 0.0 {
		t.Errorf("sweep says %v", object)
	}
	invokeStore(t, "check", path).want(t, 0)
	if object := invokeStore(t, "stats", "--json", path).want(t, 0).object(t); object["total"] != float64(storedRecords-2) {
		t.Errorf("stats are %v", object)
	}
	missing := path + ".no"
	invokeStore(t, "sweep", missing).want(t, exitInternal).wantLine(t)
	if _, err := os.Stat(missing); !os.IsNotExist(err) {
		t.Errorf("sweep has made a file: %v", err)
	}
}

func TestPasswordsOfURLsAreHidden(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"orders.db":                              "orders.db",
		"postgres://h/db":                        "postgres://h/db",
		"postgres://u@h/db?schema=s":             "postgres://u@h/db?schema=s",
		"postgres://u:pw@h:1,i:2/db":             "postgres://u:***@h:1,i:2/db",
		"postgres://u:p@w@h/db":                  "postgres://u:***@h/db",
		"postgres://u:p/w@h/db":                  "postgres://***",
		"redis://:pw@h":                          "redis://:***@h",
		"postgres://h/db?password=pw&schema=s":   "postgres://h/db?password=***&schema=s",
		"postgres://u:pw@h/db?a=b&sslpassword=x": "postgres://u:***@h/db?a=b&sslpassword=***",
	} {
		if got := withoutPassword(raw); got != want {
			t.Errorf("%s is shown as %s, want %s", raw, got, want)
		}
	}
}

func TestHostOfAStoreThatDoesNotAnswerIsPassedOver(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]time.Duration{
		"postgres://first,second/shop?target_session_attrs=read-write": connectTimeout,
		"postgres://first,second/shop?connect_timeout=7":               7 * time.Second,
	} {
		p, err := newPostgresLocation(url)
		if err != nil || p.config.ConnConfig.ConnectTimeout != want {
			t.Errorf("%s: a host has %v to answer, want %v; error %v", url, p.config.ConnConfig.ConnectTimeout, want, err)
		}
	}
}
