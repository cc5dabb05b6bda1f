package policyfile

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/warren-rpc/warren/reliability"
)

// Watcher reads a file again whenever it changes. The fields must not change
// while Run is at work.
type Watcher struct {
	// Path is the file's.
	Path string
	// Apply is told the rules at first, and after each change that can be used, such
	// as SetPolicies of a client. It is called by Run, one call at a time, never with
	// rules that [reliability.Check] has an error of, and not if the file says what the
	// last good one said.
	Apply func(reliability.Rules) error
	// OnError, if not nil, is told why a file cannot be used, once for each reason;
	// the rules before it go on being good. It is called as Apply is. It is [*Error]
	// for a file that could be read, what Apply returns, or else what the system says.
	OnError func(error)
	// Every is how often the file is looked at. Default: 1 s; at least 1 ms.
	Every time.Duration
	// Hangup has the file read on SIGHUP too, at once and whether or not it seems
	// changed. The process then no longer ends by that signal, while Run is at work.
	Hangup bool
}

// Watch has apply follow the policies of a file until ctx ends: it is told them at
// once, and again whenever the file changes. OnError, if not nil, is told why a file
// cannot be used, and the policies stay as they are. Run it in a goroutine, with
// SetPolicies of a client:
//
//	go policyfile.Watch(ctx, "policy.yaml", c.SetPolicies, report)
//
// See [Watcher], which also obeys SIGHUP.
func Watch(ctx context.Context, path string, apply func(reliability.Rules) error, onError func(error)) {
	w := Watcher{Path: path, Apply: apply, OnError: onError}
	w.Run(ctx)
}

// Run loads the file at once and watches it until ctx ends. It does not start
// goroutines. A change is seen by the modification time, the size and the
// identity of the file that the path leads to, so that editors may replace it
// and symbolic links may be turned elsewhere, and loaded once it has stood still
// from one look to the next, so that a file is not read while it is written.
func (w *Watcher) Run(ctx context.Context) {
	every := w.Every
	if every <= 0 {
		every = time.Second
	}
	ticker := time.NewTicker(max(every, time.Millisecond))
	defer ticker.Stop()
	var hangup chan os.Signal
	if w.Hangup {
		hangup = make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
	}
	var s watched
	s.seen = look(w.Path)
	s.loaded = s.seen
	w.load(&s)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			s.seen = look(w.Path)
			s.loaded, s.complaint = s.seen, ""
			w.load(&s)
		case <-ticker.C:
			before := s.seen
			if s.seen = look(w.Path); s.seen.same(before) && (s.unread || !s.seen.same(s.loaded)) {
				s.loaded = s.seen
				w.load(&s)
			}
		}
	}
}

// watched is what is known of the file.
type watched struct {
	seen, loaded sight
	content      []byte // of the rules that were applied last
	complaint    string // that was told last, unless all is well
	unread       bool   // try again: what kept it from being read may not show
}

func (w *Watcher) load(s *watched) {
	data, err := read(w.Path)
	var rules reliability.Rules
	if s.unread = err != nil; !s.unread {
		if s.content != nil && bytes.Equal(data, s.content) {
			s.complaint = ""
			return
		}
		rules, _, err = Parse(w.Path, data)
	}
	if err == nil {
		err = w.Apply(rules)
	}
	if err != nil {
		if w.OnError != nil && err.Error() != s.complaint {
			w.OnError(err)
		}
		s.complaint = err.Error()
		return
	}
	s.content, s.complaint = append([]byte{}, data...), ""
}

// sight is what a file looks like from outside; nil if it is not there.
type sight struct{ info os.FileInfo }

func look(path string) sight {
	info, err := os.Stat(path)
	if err != nil {
		return sight{}
	}
	return sight{info}
}

func (s sight) same(other sight) bool {
	if s.info == nil || other.info == nil {
		return s.info == nil && other.info == nil
	}
	return os.SameFile(s.info, other.info) && s.info.Size() == other.info.Size() &&
		s.info.ModTime().Equal(other.info.ModTime())
}
