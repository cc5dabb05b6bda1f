package private

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// Account is who runs a server: an ordinary user if this process is root's, since
// some servers refuse root; else this process's own user.
type Account struct {
	root     bool
	uid, gid uint32
}

// Ordinary finds the account: for root the first of the users that exists.
func Ordinary(users ...string) (Account, error) {
	if os.Geteuid() != 0 {
		return Account{}, nil
	}
	for _, name := range users {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return Account{root: true, uid: uint32(uid), gid: uint32(gid)}, errors.Join(err1, err2)
	}
	return Account{}, fmt.Errorf("root cannot run this server, and the users %q do not exist", users)
}

// Give makes the account the owner of a file or folder.
func (a Account) Give(path string) error {
	if !a.root {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}
