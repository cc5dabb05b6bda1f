package main

import (
	"strings"
	"testing"
)

func TestStoreAndDeadTellWrongUsageInOneLine(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"store", "store nosuch", "store stats", "store stats a b", "store check", "store compact", "store compact a --to=",
		"store get", "store get f", "store get f nokey", "store get f --method m", "store get f --call-id c",
		"store get f " + strings.Repeat("0", 64) + " --method m", "store export", "store export f --state absent", "store export f --state in_progress",
		"store sweep", "store sweep a b", "store adopt", "store adopt f", "store adopt f a/b", "store adopt --timeout 0s f m", "store adopt --url amqp://user:s3cr3t@host:port/ f m",
		"dead", "dead nosuch", "dead list", "dead list a b", "dead list a/b", "dead list x.dead", "dead list --limit 0 x", "dead list --timeout 0s x",
		"dead show x", "dead show a b c", "dead replay x", "dead replay", "dead replay --all x y", "dead replay --limit 3 x y",
		"dead replay --all --limit 0 x", "dead replay --url amqp://user:s3cr3t@host:port/ --all x",
		"dead drop x", "dead drop --all x y", "dead drop --yes", "dead drop --yes --all --limit 1000001 x",
	} {
		t.Run(line[:min(40, len(line))], func(t *testing.T) {
			t.Parallel()
			r := invoke(t, "", strings.Fields(line)...).want(t, exitUsage)
			if text := r.wantLine(t); strings.Contains(text, "s3cr3t") || r.stdout.String() != "" {
				t.Errorf("%q, standard error %q", r.stdout.String(), text)
			}
		})
	}
}

func TestHelpOfStoreAndDeadHasExamples(t *testing.T) {
	t.Parallel()
	for group, names := range map[string]string{"store": "stats get check compact export sweep adopt", "dead": "list show replay drop"} {
		out := invoke(t, "", group, "--help").want(t, 0).stdout.String()
		for name := range strings.FieldsSeq(names) {
			if !strings.Contains(out, "   "+name+" ") {
				t.Errorf("help of %s does not list %s", group, name)
			}
			r := invoke(t, "amqp://user:s3cr3t@localhost/", group, name, "--help").want(t, 0)
			help := r.stdout.String()
			for _, want := range []string{"warren " + group + " " + name, "Examples:", "--json", "--quiet"} {
				if !strings.Contains(help, want) {
					t.Errorf("help of %s %s has no %q", group, name, want)
				}
			}
			if strings.Contains(help, "s3cr3t") || r.said() != "" || group == "dead" && !strings.Contains(help, "WARREN_URL") {
				t.Errorf("help of %s %s is %s, standard error %q", group, name, help, r.stderr.String())
			}
		}
	}
}
