// Package callstate is one call of a client as a state machine. It decides what follows
// from an event: which attempts are made and when, what the breaker is told of each, and
// how the call ends. It has no lock, no clock, no I/O and no goroutine: whoever drives it
// tells it what happens, and when, and does what it says. Package client does so on the
// network, reliability/simulate on virtual time.
//
// A call is, at any time, in one of these states:
//
//	begun    nothing is written: the breaker is asked, or the first attempt is in the send queue
//	open     an attempt that was written is waited for; a hedge may be on its way
//	pausing  none is waited for, and another is on its way
//	spent    none is waited for, and none follows; a reply may come yet
//	ended    it has its result, which does not change
//
// "Follow" stands for what the policy says after an attempt that has failed: another one
// after a pause (pausing; Timer, then Ask), or none (spent). Nothing follows while another
// attempt is waited for or on its way. "End" stands for Finish, and a Judge of each attempt
// that is not judged yet; of a call that is answered, the Judges come first. Whoever is judged by an error is judged as
// [policy.Classify] has it.
//
//	event           begun           open                      pausing         spent
//	Admitted        Publish         Publish (the hedge)       Publish         -
//	Denied          End             no hedge                  End             -
//	Write           open; Wake when the attempt, or the wait before a hedge, is over
//	Confirmed       -               End, of a OneWay call     as open         as open
//	Returned        -               End                       End             End
//	Nacked, Lost    -               Judge; follow, or End if nothing does and it is
//	                                OneWay, or FailNacked has it
//	Unsent          End             End; nothing if Write did not let it out
//	Blocked         End             the attempt was never made; End if it was the only
//	                                one that may have been executed
//	Answered:
//	  a reply       End             Judge, Observe, End       as open         as open
//	  an error      -               Judge; follow, or End if nothing does. While another
//	                                attempt is waited for or on its way that one decides,
//	                                unless the error is one that is never repeated
//	Unread          -               Judge; Ask at once, or End if the call may have been
//	                                executed and may not be repeated. While another attempt
//	                                is waited for or on its way that one decides
//	Timer           -               the attempt's time: Judge, follow. A hedge's: Ask.
//	                                The pause's: Ask
//	ReplyQueueLost  -               follow, or End if nothing does; nothing of a OneWay call
//	Left            End, if it was the last caller
//	Unreachable     End             -                         -               -
//	Stopped         End             End                       End             End
//
// Once the call has ended, a ticket that comes is given back (Judge), and nothing else
// follows from anything; Write lets nothing out.
//
// What holds in whatever order events come, and is tested:
//
//   - a call ends once, by the event that ends it
//   - NotExecuted is claimed only if each attempt that was written is proven not to have
//     been executed: returned, taken back, or refused by a server
//   - Executed is told if a server has told it of any attempt
//   - there are no more attempts than the policy allows, but for those that the broker
//     refused, or no server read; one that may have been executed is repeated only if the call is idempotent
//   - each ticket is judged once; each attempt in its own time
//   - one attempt at a time is on its way, and none is made or written after the end
package callstate
