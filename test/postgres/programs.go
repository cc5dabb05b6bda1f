package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/warren-rpc/warren/test/internal/private"
)

// ErrNotInstalled is returned (wrapped) by Start if the machine has no PostgreSQL. Its
// text names the command that gets one.
var ErrNotInstalled = errors.New("postgres: PostgreSQL is not installed: run `make deps`, or as root " +
	"`sh scripts/deps.sh --install postgresql`")

// places are the folders of PostgreSQL's programs: those of Debian, of Red Hat's and
// PostgreSQL's own packages, and of what was built from source.
var places = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/local/pgsql/bin",
	"/usr/local/bin",
	"/usr/bin",
}

// programs are PostgreSQL's, of one version, and the account that runs them.
type programs struct {
	folder  string
	account private.Account
}

// findPrograms prefers the newest version.
func findPrograms() (*programs, error) {
	account, err := private.Ordinary("postgres", "nobody")
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	for _, place := range places {
		folders, _ := filepath.Glob(place)
		slices.SortFunc(folders, func(a, b string) int { return version(b) - version(a) })
		for _, folder := range folders {
			if _, err := os.Stat(filepath.Join(folder, "initdb")); err == nil {
				return &programs{folder: folder, account: account}, nil
			}
		}
	}
	return nil, ErrNotInstalled
}

// version is the number in the name of a folder of places, or 0.
func version(folder string) int {
	digits := strings.TrimFunc(folder, func(r rune) bool { return r < '0' || r > '9' })
	n, _ := strconv.Atoi(digits)
	return n
}

// command is a program with the marker and nothing else from outside: PGHOST and its
// like may not lead to another server.
func (p *programs) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.folder, name), args...)
	cmd.Dir = dir
	cmd.Env = []string{
		private.Marker + "=" + dir,
		"PATH=/usr/bin:/bin",
		"LC_ALL=C",
		"TZ=UTC",
		"HOME=" + dir,
		"TMPDIR=" + dir,
	}
	private.RunAs(cmd, p.account)
	return cmd
}

// run runs a program to its end and returns what it wrote to standard output. If ctx ends first, the
// program is killed.
func run(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !stop() && err != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}
