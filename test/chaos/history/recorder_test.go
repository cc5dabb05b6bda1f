package history

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
)

func TestDoRecordsACallAndItsEnd(t *testing.T) {
	t.Parallel()
	remote := &warren.Error{
		Code: warren.CodeFailedPrecondition, Reason: "forbidden", Outcome: warren.Executed, Message: "no", Attempts: 2,
		Remote: true, Replayed: true,
	}
	local := &warren.Error{Code: warren.CodeUnavailable, Reason: warren.ReasonNoRoute, Outcome: warren.NotExecuted, Attempts: 1}
	reply := &warren.Reply{Body: []byte("c1 v"), Attempts: 3, Replayed: true}
	tests := []struct {
		name  string
		reply *warren.Reply
		err   error
		want  Event
	}{
		{"reply", reply, nil, Event{OK: true, Echo: "c1", Value: "v", Digest: Digest(reply), Attempts: 3, Replayed: true}},
		{"no reply", nil, nil, Event{OK: true}},
		{"remote error", nil, remote, Event{
			Code: "failed_precondition", Reason: "forbidden", Outcome: warren.Executed, Text: "no", Attempts: 2, Remote: true,
			Replayed: true, Digest: ErrorDigest(remote),
		}},
		{"local error", nil, local, Event{
			Code: "unavailable", Reason: "no_route", Outcome: warren.NotExecuted, Attempts: 1,
		}},
		{"bare error", nil, errors.New("what"), Event{Code: "unknown", Text: "what"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			r := NewRecorder(open(t, folder, "p"), func(*warren.Reply) Answer { return Answer{Echo: "c1", Value: "v"} })
			call := Call{Client: "a", CallID: "c1", Method: "m", Mode: "transactional", Op: Op{Name: OpRead, Key: "k"}, Timeout: time.Minute}
			got, err := r.Do(t.Context(), call, func(ctx context.Context, id string) (*warren.Reply, error) {
				if _, ok := ctx.Deadline(); !ok || id != "c1" {
					t.Errorf("called with %q and a deadline: %v", id, ok)
				}
				if events := all(t, ReadFolder(folder)); len(events) != 1 {
					t.Errorf("%d events are on disk when the call is made", len(events))
				}
				return tt.reply, tt.err
			})
			if got != tt.reply || err != tt.err { //nolint:errorlint // it must be returned as it is
				t.Errorf("returned %v, %v", got, err)
			}
			events := all(t, ReadFolder(folder))
			if len(events) != 2 {
				t.Fatalf("%d events", len(events))
			}
			begin, end := events[0], events[1]
			if begin.Kind != KindCall || begin.CallID != "c1" || begin.Method != "m" || begin.Mode != "transactional" ||
				begin.Op.Key != "k" || begin.Deadline <= begin.At || begin.Deadline > begin.At+time.Minute {
				t.Errorf("began as %+v", begin)
			}
			if end.Kind != KindEnd || end.CallID != "c1" || end.Number != begin.Number || end.At < begin.At || end.Client != "a" {
				t.Errorf("ended as %+v", end)
			}
			tt.want.Kind, tt.want.Process, tt.want.At, tt.want.Wall = end.Kind, end.Process, end.At, end.Wall
			tt.want.Client, tt.want.CallID, tt.want.Number, tt.want.Took = "a", "c1", end.Number, end.Took
			if end != tt.want {
				t.Errorf("ended as %+v\nwant     %+v", end, tt.want)
			}
		})
	}
}

func TestEndIsRecordedHoweverTheCallEnds(t *testing.T) {
	t.Parallel()
	for name, fn := range map[string]func(){"panic": func() { panic("p") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			r := NewRecorder(open(t, folder, "p"), nil)
			done := make(chan any)
			go func() {
				defer func() { done <- recover() }()
				_, _ = r.Do(context.Background(), Call{Method: "m"}, func(context.Context, string) (*warren.Reply, error) {
					fn()
					return nil, nil
				})
			}()
			if p := <-done; (p != nil) != (name == "panic") {
				t.Errorf("recovered %v", p)
			}
			events := all(t, ReadFolder(folder))
			if len(events) != 2 || events[1].Reason != warren.ReasonPanic || events[1].OK || events[0].CallID == "" ||
				events[1].CallID != events[0].CallID {
				t.Errorf("%+v", events)
			}
		})
	}
}

func TestCallThatCannotBeRecordedIsNotMade(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir(), "p")
	r := NewRecorder(l, nil)
	failed := &warren.Error{Code: warren.CodeAborted}
	_, err := r.Do(t.Context(), Call{Method: "m"}, func(context.Context, string) (*warren.Reply, error) {
		return nil, errors.Join(failed, l.Close())
	})
	if told, _ := warren.AsError(err); told != failed || !errors.Is(err, ErrClosed) {
		t.Errorf("a lost end is told as %v", err)
	}
	_, err = r.Do(t.Context(), Call{Method: "m"}, func(context.Context, string) (*warren.Reply, error) {
		t.Error("called")
		return nil, nil
	})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestResolveIsRecorded(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := NewRecorder(open(t, folder, "p"), func(*warren.Reply) Answer { return Answer{Value: "v"} })
	reply := &warren.Reply{Body: []byte("b")}
	failed := &warren.Error{Code: warren.CodeAborted, Outcome: warren.Executed}
	for _, answer := range []*client.Resolution{
		{State: client.Completed, Outcome: warren.Executed, Reply: reply, Retained: true},
		{State: client.Failed, Outcome: warren.Executed, Err: failed, Retained: true},
		{State: client.Canceled, Outcome: warren.NotExecuted},
		nil,
	} {
		var why error
		if answer == nil {
			why = &warren.Error{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted}
		}
		got, err := r.Resolve(t.Context(), "m", "c", func(context.Context) (*client.Resolution, error) { return answer, why })
		if got != answer || err != why { //nolint:errorlint // it must be returned as it is
			t.Errorf("returned %v, %v", got, err)
		}
	}
	events := all(t, ReadFolder(folder))
	if len(events) != 4 {
		t.Fatalf("%d events", len(events))
	}
	if e := events[0]; e.State != "completed" || e.Digest != Digest(reply) || e.Value != "v" || e.Outcome != warren.Executed {
		t.Errorf("%+v", e)
	}
	if e := events[1]; e.State != "failed" || e.Digest != ErrorDigest(failed) || e.Code != "aborted" {
		t.Errorf("%+v", e)
	}
	if e := events[2]; e.State != "canceled" || e.Outcome != warren.NotExecuted || e.Digest != "" {
		t.Errorf("%+v", e)
	}
	if e := events[3]; e.State != "" || e.Outcome != warren.Unknown || e.Code != "unavailable" {
		t.Errorf("%+v", e)
	}
}

func TestDigestsTellAnswersApart(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for i, r := range []*warren.Reply{
		{}, {Body: []byte("a")}, {ContentType: "a"}, {ContentEncoding: "a"}, {ContentType: "1:a"}, {Body: []byte("1:a")},
	} {
		seen[Digest(r)] = i
	}
	for i, e := range []*warren.Error{{Code: 1}, {Code: 2}, {Code: 1, Reason: "a"}, {Code: 1, Message: "a"}, {Code: 1, Outcome: 1}} {
		seen[ErrorDigest(e)] = i
	}
	if len(seen) != 11 {
		t.Errorf("11 answers have %d digests", len(seen))
	}
	a, b := Digest(&warren.Reply{Body: []byte("a"), Attempts: 1}), Digest(&warren.Reply{Body: []byte("a"), Replayed: true})
	if a != b {
		t.Error("a replay has another digest")
	}
}

func TestFaultsBeginAndEnd(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	l := open(t, folder, "p")
	end, err := l.Begin(Fault{Name: "cut", Target: "proxy"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Strike(Fault{Name: "kill-server"}); err != nil {
		t.Fatal(err)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	e := all(t, ReadFolder(folder))
	if len(e) != 3 || e[0].Phase != PhaseBegin || e[1].Phase != PhaseOnce || e[2].Phase != PhaseEnd ||
		e[0].Fault.ID == "" || e[2].Fault.ID != e[0].Fault.ID || e[1].Fault.ID == e[0].Fault.ID {
		t.Errorf("%+v", e)
	}
}
