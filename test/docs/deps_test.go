package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Of two installations at once, each finds the policy that keeps services from
// starting, and the setting that keeps PostgreSQL from making a cluster, for as long as
// it installs, and what was there before is there after.
func TestTwoInstallationsKeepThePolicyOfEachOther(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs("../../scripts/deps.sh")
	if err == nil {
		_, err = os.Stat(script)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, before := range []string{"", "#!/bin/sh\n# somebody else's\nexit 101\n", "#!/bin/sh\n# Written by scripts/deps.sh for the length of one installation.\nexit 101\n"} {
		dir := t.TempDir()
		policy := filepath.Join(dir, "policy-rc.d")
		if before != "" {
			if err := os.WriteFile(policy, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		clusters := filepath.Join(dir, "createcluster.d")
		bin := filepath.Join(dir, "bin")
		// It installs until the other one has begun, or is waiting: each notes whether
		// the policy is there at its beginning and at its end.
		apt := "#!/bin/sh\ncase \" $* \" in *\" install \"*) ;; *) exit 0 ;; esac\n" +
			"look() { [ -e \"$WARREN_POLICY_RC_D\" ] && grep -q 'main_cluster = off' \"$WARREN_CREATECLUSTER_D/\"* && echo there >>\"$LOG\" || echo gone >>\"$LOG\"; }\n" +
			"look; sleep \"$PAUSE\"; look\n"
		if err := os.Mkdir(bin, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, program := range map[string]string{"apt-get": apt, "update-rc.d": "#!/bin/sh\necho \"$*\" >>\"$LOG.disabled\"\n"} {
			if err := os.WriteFile(filepath.Join(bin, name), []byte(program), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		var runs []*exec.Cmd
		for _, pause := range []string{"0.3", "0.9"} {
			run := exec.Command("sh", script, "--install", "nothing", "postgresql")
			run.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "WARREN_POLICY_RC_D="+policy, "WARREN_CREATECLUSTER_D="+clusters, "LOG="+filepath.Join(dir, "log"), "PAUSE="+pause)
			if err := run.Start(); err != nil {
				t.Fatal(err)
			}
			runs = append(runs, run)
		}
		for _, run := range runs {
			if err := run.Wait(); err != nil {
				t.Error(err)
			}
		}
		seen, err := os.ReadFile(filepath.Join(dir, "log"))
		if err != nil || strings.TrimSpace(string(seen)) != "there\nthere\nthere\nthere" {
			t.Errorf("with %q before, the policy was %q, %v", before, seen, err)
		}
		disabled, err := os.ReadFile(filepath.Join(dir, "log.disabled"))
		if err != nil || string(disabled) != "postgresql disable\npostgresql disable\n" {
			t.Errorf("kept from starting with the machine: %q, %v", disabled, err)
		}
		after, err := os.ReadFile(policy)
		if strings.Contains(before, "else's") {
			if err != nil || string(after) != before {
				t.Errorf("what was somebody else's is %q, %v", after, err)
			}
		} else if err == nil {
			t.Errorf("there is left %q", after)
		}
		if left, err := os.ReadDir(clusters); err != nil || len(left) > 0 {
			t.Errorf("there is left %v, %v", left, err)
		}
	}
}
