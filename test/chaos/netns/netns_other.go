//go:build !linux

package netns

import "os/exec"

func ipCommand(args ...string) *exec.Cmd { return exec.Command("ip", args...) }

func newNamespace(string) (*Namespace, error) { return nil, ErrNotPermitted }

// Do needs Linux.
func (n *Namespace) Do(func() error) error { return ErrNotPermitted }
