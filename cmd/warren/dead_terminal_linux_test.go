package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
)

// terminal returns the two ends of a new terminal: a person's and a program's.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	var number, locked int32
	for request, value := range map[uintptr]*int32{syscall.TIOCGPTN: &number, syscall.TIOCSPTLCK: &locked} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, person.Fd(), request, uintptr(unsafe.Pointer(value))); errno != 0 {
			t.Fatal(errno)
		}
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

func TestDeadDropDoesWhatThePersonAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		answer, args, question, left string
		code                         int
	}{
		{"y\n", "call-2", `Drop 1 parked call of orders.place with the ID "call-2" for good? [y/N] `, "call-1 call-3", 0},
		{"YES\n", "--all", "Drop 3 parked calls of orders.place for good? [y/N] ", "", 0},
		{"n\n", "--all", "nothing was dropped", "call-1 call-2 call-3", exitInternal},
		{"\n", "call-2", "nothing was dropped", "call-1 call-2 call-3", exitInternal},
		{"\x04", "--all", "give --yes", "call-1 call-2 call-3", exitUsage}, // the end of the input
	} {
		b := amqptest.New(t, amqptest.Options{})
		s := parkCalls(t, b.URL(), numbered(3)...)
		person, program := terminal(t)
		args := []string{"dead", "drop", deadMethod, c.args}
		r := command(b.URL(), args...)
		r.stdin = program
		r.start(t)
		patience.Eventually(t, "it asks", func() bool { return strings.Contains(r.stderr.String(), "? [y/N] ") })
		if _, err := person.WriteString(c.answer); err != nil {
			t.Fatal(err)
		}
		if told := r.wait(t).want(t, c.code).stderr.String(); !strings.Contains(told, c.question) {
			t.Errorf("%q: it says %q", c.answer, told)
		}
		if got := callIDs(s.drain(t, deadQueueName)); got != c.left {
			t.Errorf("%q: parked are %q, want %q", c.answer, got, c.left)
		}
	}
	// It can be interrupted while it waits.
	b := amqptest.New(t, amqptest.Options{})
	s := parkCalls(t, b.URL(), numbered(1)...)
	_, program := terminal(t)
	r := command(b.URL(), "dead", "drop", "--all", deadMethod)
	r.stdin = program
	r.start(t)
	patience.Eventually(t, "it asks", func() bool { return strings.Contains(r.stderr.String(), "? [y/N] ") })
	send(t, r, syscall.SIGINT)
	r.wait(t).want(t, exitInterrupted)
	if got := callIDs(s.drain(t, deadQueueName)); got != "call-1" {
		t.Errorf("parked are %q", got)
	}
}
