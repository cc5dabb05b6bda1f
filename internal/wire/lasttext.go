package wire

import "sync/atomic"

// lastText remembers the number that was written last, with its text: messages of one
// moment mostly have the same. It is safe for concurrent use.
type lastText struct{ last atomic.Pointer[numberText] }

type numberText struct {
	number int64
	text   string
}

// of returns the number's text, which write makes.
func (l *lastText) of(number int64, write func(int64) string) string {
	if last := l.last.Load(); last != nil && last.number == number {
		return last.text
	}
	text := write(number)
	l.last.Store(&numberText{number, text})
	return text
}
