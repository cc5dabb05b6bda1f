package history

import "github.com/google/uuid"

// Begin records that a fault begins, before it does, and returns what records that
// it has ended, after it has.
func (l *Log) Begin(f Fault) (end func() error, err error) {
	if f.ID == "" {
		f.ID = uuid.NewString()
	}
	if err := l.Append(Event{Kind: KindFault, Phase: PhaseBegin, Fault: &f}); err != nil {
		return nil, err
	}
	return func() error { return l.Append(Event{Kind: KindFault, Phase: PhaseEnd, Fault: &f}) }, nil
}

// Strike records a fault that has no length.
func (l *Log) Strike(f Fault) error {
	return l.Append(Event{Kind: KindFault, Phase: PhaseOnce, Fault: &f})
}
