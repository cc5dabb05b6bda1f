package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore"
)

const storeCompactDescription = `It is for files: a database sees to its own room. Writes what is in FILE to a new file without its free pages, checks that, and puts it
in FILE's place in one step: whatever happens, FILE is the old one or the new one. Its
owner and permissions stay. A server cannot open it meanwhile. The new file is
FILE.compacting until it is complete.

With --to the new file is another one, and FILE stays as it is; it may be damaged, if
what is copied is not. Only one of the two may be used then: a call would run once for
each.

The exit code is 7 if FILE, or with --to the new file, is found damaged; then nothing
was changed and no new file is left.

Examples:
   warren store compact orders.db
   warren store compact orders.db --to smaller.db`

func storeCompactCommand() *cli.Command {
	return &cli.Command{
		Name:        "compact",
		Usage:       "rewrite a file without its free pages",
		ArgsUsage:   "FILE",
		Description: storeCompactDescription,
		Flags: storeCommandFlags(
			&cli.StringFlag{Name: "to", Usage: "write to a new `FILE` instead of replacing the old one"},
		),
		Action: storeCompact,
	}
}

// storeCompactResult is what `warren store compact --json` prints.
type storeCompactResult struct {
	File    string `json:"file"` // the new one
	Records int    `json:"records"`
	Before  int64  `json:"bytes_before"`
	After   int64  `json:"bytes_after"`
}

func storeCompact(ctx context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	at, _, err := storeArguments(cmd, 0, 0)
	if err != nil {
		return err
	}
	file, isFile := at.(fileLocation)
	if !isFile {
		return usageError(cmd, "only files are compacted: a database sees to its own room")
	}
	path := string(file)
	var r *storeCompactResult
	if to := cmd.String("to"); cmd.IsSet("to") {
		if to == "" {
			return usageError(cmd, "--to is empty")
		}
		if r, err = rewriteStore(ctx, path, to, false); err == nil {
			out.note("use only one of %s and %s from here on", path, to)
		}
	} else {
		r, err = replaceStore(ctx, path)
	}
	var damage *store.CorruptError
	switch {
	case errors.As(err, &damage):
		return exit(exitBroken, "%w", err)
	case err != nil:
		return storeError(ctx, err)
	case out.json:
		return out.object(r)
	}
	return out.printf("%s: %s, %s bytes instead of %s\n",
		r.File, count(r.Records, "record"), thousands(int(r.After)), thousands(int(r.Before)))
}

// rewriteStore writes src anew to dst, which must not be there, and checks dst. If
// it must be whole, src is checked before. After an error there is no dst.
func rewriteStore(ctx context.Context, src, dst string, whole bool) (r *storeCompactResult, err error) {
	before, err := boltstore.Check(ctx, src)
	if err != nil {
		return nil, err
	}
	clean := len(before.Findings) == 0
	if whole && !clean {
		return nil, exit(exitBroken, "%s is damaged, and was left as it is: %s; see all with: warren store check %s", src, before.Findings[0], src)
	}
	if _, err := os.Lstat(dst); err == nil {
		return nil, exit(exitInternal, "%s is there already: if no other compact is at work, delete it", dst)
	}
	if err := boltstore.Compact(src, dst); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = firstError(err, os.Remove(dst))
		}
	}()
	after, err := boltstore.Check(ctx, dst)
	switch {
	case err != nil:
		return nil, err
	case len(after.Findings) > 0:
		return nil, exit(exitBroken, "the copy of %s is damaged too, and was not kept: %s", src, after.Findings[0])
	case clean && before.Records != after.Records:
		return nil, exit(exitInternal, "%s has %d records, and only %d were copied", src, before.Records, after.Records)
	}
	r = &storeCompactResult{File: dst, Records: after.Records}
	if r.Before, err = fileSize(src); err != nil {
		return nil, err
	}
	r.After, err = fileSize(dst)
	return r, err
}

func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// openingPatience is longer than a server waits for the lock of a file that it has
// opened.
const openingPatience = time.Second

// replaceStore rewrites a file in place. While it holds the file, no server gets its
// lock; the name of the temporary file keeps other runs of this away.
func replaceStore(ctx context.Context, name string) (*storeCompactResult, error) {
	path, err := filepath.EvalSymlinks(name) // what is replaced is the file, not a link to it
	if err != nil {
		return nil, err
	}
	first, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	held, err := boltstore.OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	temporary := path + ".compacting"
	r, err := rewriteStore(ctx, path, temporary, true)
	if err != nil {
		return nil, err
	}
	if err := takePlace(temporary, path, first); err != nil {
		return nil, errors.Join(err, ignoreMissing(os.Remove(temporary)))
	}
	r.File = name
	// A server that opened the old file just before must not get its lock: what it
	// would write there is lost.
	time.Sleep(openingPatience)
	return r, nil
}

// takePlace gives temporary the owner, the permissions and the place of path, if
// that is still the file that it was at first.
func takePlace(temporary, path string, first fs.FileInfo) error {
	if err := os.Chmod(temporary, first.Mode().Perm()); err != nil {
		return err
	}
	if err := sameOwner(temporary, first); err != nil {
		return err
	}
	f, err := os.Open(temporary) //nolint:gosec // the path is that of the command line
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if last, err := os.Stat(path); err != nil || !os.SameFile(first, last) {
		return errors.Join(err, exit(exitInternal, "%s was replaced meanwhile, and was left as it is", path))
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
