package warren

import "errors"

// A handler that returns an error may mark it. Marks can be combined, in any order,
// and wrapped.

// Public marks err so that a server tells its text to the caller. Without it,
// an error that is not an *Error reaches the caller as unknown with a fixed
// text, because the text of an arbitrary error may say what callers must not
// know. Public(nil) is nil.
func Public(err error) error {
	if err == nil {
		return nil
	}
	return &publicError{err}
}

type publicError struct{ err error }

func (p *publicError) Error() string { return p.err.Error() }
func (p *publicError) Unwrap() error { return p.err }

// PublicText returns the text of the error in err's chain that was marked by
// [Public], and whether there is one. What was wrapped around the mark is not
// part of it.
func PublicText(err error) (string, bool) {
	var p *publicError
	if !errors.As(err, &p) {
		return "", false
	}
	return p.err.Error(), true
}

// NothingDone marks the error of a handler, which vouches that it has done nothing:
// its caller is told [NotExecuted], and may call again with the same call ID, whatever
// the method's mode: the error is not remembered. Return it where something that is
// needed is away, before the first effect. A handler in a transaction vouches for what
// it did besides, as the transaction is rolled back.
//
// It has no effect if the chain of err holds the error of a call that the handler made
// and whose outcome is not NotExecuted: what was done there was done. Of a request that
// was delivered before, the caller is told Unknown. NothingDone(nil) is nil.
//
// An [*Error] of the handler's own with the Outcome NotExecuted says the same.
func NothingDone(err error) error {
	if err == nil {
		return nil
	}
	return &nothingDoneError{err}
}

type nothingDoneError struct{ err error }

func (n *nothingDoneError) Error() string { return n.err.Error() }
func (n *nothingDoneError) Unwrap() error { return n.err }

// DidNothing reports whether a handler that returns err vouches that it has done
// nothing; see [NothingDone].
func DidNothing(err error) bool {
	var mark *nothingDoneError
	own, ok := AsError(err)
	vouched := errors.As(err, &mark) || ok && own.Method == "" && own.Outcome == NotExecuted
	return vouched && !callsMadeIn(err, func(e *Error) bool { return e.Outcome != NotExecuted })
}

// callsMadeIn reports whether the tree of err holds the error of a call for which f
// holds. It looks at each error by itself, and at what that wraps after that.
//
//nolint:errorlint // see above
func callsMadeIn(err error, f func(*Error) bool) bool {
	if e, ok := err.(*Error); ok && e != nil && e.Method != "" && f(e) {
		return true
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		return callsMadeIn(u.Unwrap(), f)
	case interface{ Unwrap() []error }:
		for _, inner := range u.Unwrap() {
			if callsMadeIn(inner, f) {
				return true
			}
		}
	}
	return false
}

// PassOn marks the error of a call that a handler made as fit to be told to its own
// caller: its message, details, RetryAfter and incident as they are, and its reason if
// it came from the server that was called. A reason that the client gave, such as
// no_route, is about that call and not about this one: of such an error the message
// alone says it. Without the mark no more than the code is told.
//
// The outcome is this handler's, which ran: executed. A handler that does nothing but
// make that call, or makes it first, returns NothingDone(PassOn(err)): where the call
// was not executed, the handler has done nothing either. PassOn(nil) is nil.
func PassOn(err error) error {
	if err == nil {
		return nil
	}
	return &passedOnError{err}
}

type passedOnError struct{ err error }

func (p *passedOnError) Error() string { return p.err.Error() }
func (p *passedOnError) Unwrap() error { return p.err }

// PassedOn returns what is told of the error in err's chain that was marked by
// [PassOn], and whether there is one. Its Outcome is not set.
func PassedOn(err error) (*Error, bool) {
	var p *passedOnError
	if !errors.As(err, &p) {
		return nil, false
	}
	e, ok := AsError(p.err)
	if !ok {
		return nil, false
	}
	told := &Error{Code: e.Code, Message: e.Message, RetryAfter: e.RetryAfter, Details: e.Details, Incident: e.Incident}
	if e.Remote || e.Method == "" {
		told.Reason = e.Reason
	}
	return told, true
}
