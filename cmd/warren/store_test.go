package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
)

// storedCalls are the records of [newStoreFile], by call ID.
var storedCalls = map[string]store.Result{
	"json": {State: store.Completed, Payload: wire.EncodeStored(&warren.Reply{
		ContentType: "application/json", Header: warren.Header{"tenant": "7"}, Body: []byte(`{"a":[1,2.50]}`),
	}, nil)},
	"binary": {State: store.Completed, Payload: wire.EncodeStored(&warren.Reply{Body: []byte{0xff, 0, 1}}, nil)},
	"failed": {State: store.Failed, Payload: wire.EncodeStored(nil, &warren.Error{
		Code: warren.CodeNotFound, Reason: "no_such_user", Outcome: warren.Executed, Message: "there is no user 7",
		RetryAfter: time.Second, Incident: "inc-1", Details: map[string]string{"user": "7"},
	})},
	"parked": {State: store.Parked, Payload: wire.EncodeStored(nil, &warren.Error{
		Code: warren.CodeInternal, Reason: warren.ReasonPoisoned, Message: "too many attempts",
	})},
	"large":   {State: store.Completed, Payload: wire.EncodeStored(&warren.Reply{Body: make([]byte, 4096)}, nil)},
	"foreign": {State: store.Completed, Payload: []byte("from elsewhere")},
}

func scopeOf(id string) store.Scope { return store.Scope{Method: deadMethod, CallID: id} }

// newStoreFile returns a file with the calls of storedCalls, one that was interrupted,
// one that was buried and, an hour past their retention, two more.
func newStoreFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "orders.db")
	now := time.Now()
	s, err := boltstore.Open(path, boltstore.Options{
		SweepEvery: -1, MaxPayload: 1024, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	claim := func(scope store.Scope, retention time.Duration) store.Record {
		r, won, err := s.Claim(t.Context(), store.Claim{
			Key: scope.Key(), Method: scope.Method, CallID: scope.CallID, Lease: time.Second, Retention: retention,
		})
		if err != nil || !won {
			t.Fatalf("%v: won %v, %v", scope, won, err)
		}
		return r
	}
	for id, result := range storedCalls {
		r := claim(scopeOf(id), time.Hour)
		if err := s.Complete(t.Context(), r.Key, r.Token, result, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	claim(store.Scope{Namespace: "shop", Method: "orders.cancel", CallID: "interrupted", Caller: "ada", ReplyTo: "q"}, 12*time.Hour)
	buried := scopeOf("buried")
	if _, err := s.Bury(t.Context(), store.Claim{
		Key: buried.Key(), Fingerprint: store.ByProof(buriedProof), Method: buried.Method, CallID: buried.CallID, Retention: 30 * time.Hour,
	}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(-3 * time.Hour)
	claim(scopeOf("old-1"), time.Hour)
	claim(scopeOf("old-2"), 2*time.Hour)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

const storedRecords = 10

// buriedProof is that of the call that was asked about and never came.
var buriedProof = warren.ProofOf("", "", []byte("x"))

// invokeStore runs one of the commands about a file.
func invokeStore(t testing.TB, args ...string) *tool {
	t.Helper()
	return invoke(t, "", append([]string{"store"}, args...)...)
}

func TestStoreStatsCountsRecordsByState(t *testing.T) {
	t.Parallel()
	path := newStoreFile(t)
	object := wantKeys(t, invokeStore(t, "stats", "--json", path).want(t, 0).object(t),
		"file", "id", "records", "total", "expired", "oldest_expiry", "next_expiry", "size", "file_size", "created", "epoch")
	want := map[string]any{"interrupted": 3.0, "completed": 4.0, "failed": 1.0, "parked": 1.0, "tombstone": 1.0}
	if fmt.Sprint(object["records"]) != fmt.Sprint(want) || object["total"] != float64(storedRecords) ||
		object["expired"] != 2.0 || object["epoch"] != 1.0 {
		t.Errorf("stats are %v", object)
	}
	for key, hours := range map[string]float64{"oldest_expiry": -2, "next_expiry": 12} {
		text, _ := object[key].(string)
		at, err := time.Parse(time.RFC3339Nano, text)
		if off := time.Until(at).Hours() - hours; err != nil || off < -0.5 || off > 0.5 {
			t.Errorf("%s is %v, %v", key, object[key], err)
		}
	}
	size, _ := object["size"].(float64)
	if length, _ := object["file_size"].(float64); size <= 0 || length < size {
		t.Errorf("%v bytes are in use of %v", size, length)
	}
	out := invokeStore(t, "stats", path).want(t, 0).stdout.String()
	if !strings.Contains(out, "records         10\n") || !strings.Contains(out, "  completed     4\n") || !strings.Contains(out, "past retention  2\n") {
		t.Errorf("stats are %s", out)
	}
}

func TestStoreGetShowsHowACallEnded(t *testing.T) {
	t.Parallel()
	path := newStoreFile(t)
	for id, want := range map[string][]string{
		"json": {`"state":"completed"`, `"reply":{"content_type":"application/json","headers":{"tenant":"7"},"body":{"a":[1,2.50]}}`,
			`"attempts":1`, `"retained":true`, `"method":"orders.place"`, `"call_id":"json"`},
		"binary": {`"reply":{"body_base64":"/wAB"}`},
		"failed": {`"state":"failed"`, `"error":{"code":"not_found","reason":"no_such_user","outcome":"executed",` +
			`"message":"there is no user 7","retry_after_ms":1000,"incident":"inc-1","details":{"user":"7"}}`},
		"parked":  {`"state":"parked"`, `"reason":"poisoned"`, `"outcome":"unknown"`},
		"large":   {`"retained":false`, `"size":4103`, `"digest":"`},
		"foreign": {`"payload_base64":"ZnJvbSBlbHNld2hlcmU="`},
		"buried":  {`"state":"tombstone"`, `"attempts":0`},
		"old-1":   {`"state":"interrupted"`, `"token":`},
	} {
		args := []string{"get", path, "--json", "--method", deadMethod, "--call-id", id}
		if id == "buried" {
			args = append(args, "--proof", buriedProof.String())
		}
		r := invokeStore(t, args...).want(t, 0)
		object := r.object(t)
		for _, part := range want {
			if !strings.Contains(r.stdout.String(), part) {
				t.Errorf("%s: no %s in %s", id, part, r.stdout.String())
			}
		}
		byKey := invokeStore(t, "get", "--json", path, fmt.Sprint(object["key"])).want(t, 0)
		if byKey.stdout.String() != r.stdout.String() {
			t.Errorf("%s: by its key it is %s", id, byKey.stdout.String())
		}
	}
	invokeStore(t, "get", path, "--method", "orders.cancel", "--call-id", "interrupted", "--namespace", "shop", "--caller", "ada", "--reply-to", "q").want(t, 0)
	for id, want := range map[string]string{
		"json": "body           14 bytes\n\n{\"a\":[1,2.50]}\n", "binary": "body      3 bytes\n\nff 00 01\n",
		"failed": "detail user  7\n", "large": "4,103 bytes, too large to be kept", "foreign": "\n\nfrom elsewhere\n",
	} {
		if out := invokeStore(t, "get", path, "--method", deadMethod, "--call-id", id).want(t, 0).stdout.String(); !strings.Contains(out, want) {
			t.Errorf("%s: no %q in %s", id, want, out)
		}
	}
}

func TestStoreGetOfNoRecordEndsWith1(t *testing.T) {
	t.Parallel()
	path := newStoreFile(t)
	key := scopeOf("nobody").Key().String()
	if line := invokeStore(t, "get", path, key).want(t, exitInternal).wantLine(t); !strings.Contains(line, key) {
		t.Errorf("standard error: %q", line)
	}
	object := invokeStore(t, "get", "--json", path, "--method", deadMethod, "--call-id", "nobody").want(t, exitInternal).object(t)
	if wantKeys(t, object, "key", "state"); object["key"] != key || object["state"] != "absent" {
		t.Errorf("the record is %v", object)
	}
}

func TestStoreExportPrintsEachRecordOnce(t *testing.T) {
	t.Parallel()
	path := newStoreFile(t)
	for _, c := range []struct {
		args string
		want int
	}{
		{"", storedRecords},
		{"--state completed", 4},
		{"--state interrupted", 3},
		{"--state interrupted --method orders.place", 2},
		{"--method nobody", 0},
	} {
		out := invokeStore(t, append([]string{"export", path}, strings.Fields(c.args)...)...).want(t, 0).stdout.String()
		seen := map[string]bool{}
		for line := range strings.Lines(out) {
			var record struct {
				Key, State string
				Call       string `json:"call_id"`
			}
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatalf("%s: %v in %s", c.args, err, line)
			}
			seen[record.Key] = true
			if get := invokeStore(t, "get", "--json", path, record.Key).want(t, 0).stdout.String(); c.args == "" && get != line {
				t.Errorf("exported %s, got %s", line, get)
			}
		}
		if len(seen) != c.want || strings.Count(out, "\n") != c.want {
			t.Errorf("%q: %d records of %d lines, want %d", c.args, len(seen), strings.Count(out, "\n"), c.want)
		}
	}
}

// laterVersion makes the file one of a later program.
func laterVersion(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Update(func(tx *bbolt.Tx) error {
		key, bucket := []byte("head"), tx.Bucket([]byte(boltstore.Bucket))
		head := bytes.Clone(bucket.Get(key))
		head = head[:len(head)-4]
		binary.BigEndian.PutUint32(head, 99)
		table := crc32.MakeTable(crc32.Castagnoli)
		head = binary.BigEndian.AppendUint32(head, crc32.Update(crc32.Checksum(key, table), table, head))
		return bucket.Put(key, head)
	}); err != nil {
		t.Fatal(err)
	}
}

// damage changes a byte of a record, in all copies that the file has.
func damage(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(content, []byte("there is no user 7")) {
		t.Fatal("the file does not hold what was stored")
	}
	content = bytes.ReplaceAll(content, []byte("there is no user 7"), []byte("there is no user 8"))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStoreFilesThatCannotBeReadGiveOneLine(t *testing.T) {
	t.Parallel()
	key := scopeOf("json").Key().String()
	for name, c := range map[string]struct {
		prepare func(t *testing.T, path string)
		want    string
	}{
		"missing": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, "no such file"},
		"a folder": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "not a file"},
		"foreign": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Update(func(tx *bbolt.Tx) error {
				_, err := tx.CreateBucket([]byte("another"))
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}, "not a store"},
		"newer": {laterVersion, "format version 99"},
		"held": {func(t *testing.T, path string) {
			t.Helper()
			s, err := boltstore.Open(path, boltstore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
		}, fmt.Sprintf("open in another process: process %d", os.Getpid())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newStoreFile(t)
			c.prepare(t, path)
			before, _ := os.ReadFile(path)
			for _, args := range [][]string{{"stats"}, {"get", path, key}, {"check"}, {"compact"}, {"compact", path, "--to", path + ".new"}, {"export"}} {
				if len(args) == 1 {
					args = append(args, path)
				}
				r := invokeStore(t, args...).want(t, exitInternal)
				if line := r.wantLine(t); !strings.Contains(line, c.want) || r.stdout.String() != "" {
					t.Errorf("%v: %q, standard error %q", args[0], r.stdout.String(), line)
				}
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
			if left, err := filepath.Glob(path + ".new*"); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestFileWithoutAByteIsDamagedToTheTool(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "orders.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := invokeStore(t, "check", path).want(t, exitBroken); !strings.Contains(r.stdout.String(), "it is empty, and what it remembered is lost") {
		t.Errorf("check says %q", r.stdout.String())
	}
	invoke(t, "amqp://127.0.0.1:1/", "serve", "--store", path).want(t, exitInternal).wantLine(t)
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("the file was changed: %v, %v", info, err)
	}
}

func TestStoreCheckTellsDamage(t *testing.T) {
	t.Parallel()
	path := newStoreFile(t)
	if out := invokeStore(t, "check", path).want(t, 0).stdout.String(); out != path+": 10 records, nothing wrong\n" {
		t.Errorf("check says %q", out)
	}
	object := invokeStore(t, "check", "--json", path).want(t, 0).object(t)
	if wantKeys(t, object, "ok", "records", "findings"); object["ok"] != true || object["records"] != float64(storedRecords) {
		t.Errorf("check says %v", object)
	}

	damage(t, path)
	r := invokeStore(t, "check", path).want(t, exitBroken)
	if out, told := r.stdout.String(), r.wantLine(t); !strings.Contains(out, "checksum") || !strings.HasPrefix(out, path+": ") ||
		!strings.Contains(told, "warren store compact "+path+" --to NEW") || !strings.Contains(told, "restore a backup") {
		t.Errorf("check says %q, and on standard error %q", out, told)
	}
	object = invokeStore(t, "check", "--json", "--quiet", path).want(t, exitBroken).object(t)
	if findings, _ := object["findings"].([]any); object["ok"] != false || object["records"] != float64(storedRecords-1) || len(findings) == 0 {
		t.Errorf("check says %v", object)
	}
	for _, args := range [][]string{
		{"get", path, "--method", deadMethod, "--call-id", "failed"},
		{"export", path},
	} {
		if line := invokeStore(t, args...).want(t, exitInternal).wantLine(t); !strings.Contains(line, "warren store check") {
			t.Errorf("%s: standard error %q", args[0], line)
		}
	}
	// What is damaged is neither replaced nor copied as if it were whole.
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	invokeStore(t, "compact", path).want(t, exitBroken).wantLine(t)
	invokeStore(t, "compact", path, "--to", path+".new").want(t, exitBroken).wantLine(t)
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed, %v", err)
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
