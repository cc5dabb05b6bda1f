package pgstore

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/warren-rpc/warren/store/storetest"
	"github.com/warren-rpc/warren/test/patience"
)

// pooled starts a PgBouncer in transaction mode before the database, and returns the URL that leads through it.
func (d *database) pooled() string {
	d.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			d.Fatal("PgBouncer is not installed: run `make deps`, or as root `sh scripts/deps.sh --install pgbouncer`")
		}
	}
	u, err := url.Parse(d.url)
	if err != nil {
		d.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.Fatal(err)
	}
	listen := free.Addr().String()
	_ = free.Close()
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		d.Fatal(err)
	}
	password, _ := u.User.Password()
	dir, err := os.MkdirTemp("", "warren-pgbouncer-")
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { _ = os.RemoveAll(dir) })
	config := fmt.Sprintf(`
[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = plain
auth_file = %s/users
pool_mode = transaction
default_pool_size = 8
max_client_conn = 500
logfile =
`, u.Hostname(), u.Port(), port, dir)
	d.file(filepath.Join(dir, "users"), fmt.Sprintf("%q %q\n", u.User.Username(), password))
	d.file(filepath.Join(dir, "config"), config)
	cmd := exec.Command(program, filepath.Join(dir, "config"))
	if os.Geteuid() == 0 {
		// It refuses to run as root.
		const nobody = 65534
		if err := os.Chmod(dir, 0o755); err != nil {
			d.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if err := cmd.Start(); err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	u.Host = listen
	patience.Eventually(d, "PgBouncer accepts connections", func() bool {
		conn, err := net.Dial("tcp", u.Host)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return u.String()
}

func (d *database) file(path, text string) {
	d.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		d.Fatal(err)
	}
}

// withoutPrepared is what a client of a PgBouncer in transaction mode sets, as a prepared statement is a connection's.
const withoutPrepared = "&default_query_exec_mode=cache_describe"

func TestStoreWorksThroughPgBouncerInTransactionMode(t *testing.T) {
	t.Parallel()
	d := ofParent(t, "WARREN_TEST_POOLED_URL")
	address := d.pooled() + withoutPrepared + "&pool_max_conns=4"
	storetest.Run(t, d.openAs("", address, Options{NoSession: true}), storetest.Features{
		Leases: true, SizeLimit: -1, Keys: -1, Histories: 5, Kills: 1,
	})
}

func TestSessionRefusesAPooler(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{})
	s, err := OpenURL(t.Context(), d.pooled()+withoutPrepared, Options{})
	if err == nil {
		_ = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "NoSession") {
		t.Errorf("a store with a session behind PgBouncer: %v; want an error that names NoSession", err)
	}
}
