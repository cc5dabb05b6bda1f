// Package proc runs the processes of a chaos test: servers and clients as real
// subprocesses that are killed, frozen and started again, at any time or exactly
// at a named crash point.
//
// The test holds a [Process]:
//
//	p, err := proc.Start(ctx, proc.Options{
//		Path: os.Args[0], Env: []string{"SERVE=1"}, Ready: "ready", Crash: "effect-done:3",
//	})
//	exit, err := p.Wait(ctx) // exit.Crash.Point == "effect-done"
//	err = p.Restart(ctx)
//
// and the subprocess calls [Child] before it makes a client or server:
//
//	control, err := proc.Child()
//	st, err := boltstore.Open(file, boltstore.Options{Now: control.Now})
//
// Crash points are those of Warren's design, in the order in which a call passes
// them: before-publish, published, confirmed in a client; delivered, claimed,
// in-handler, effect-done, committing, committed, reply-published,
// reply-confirmed, acked in a server. A process that nobody started for chaos has
// neither hook nor goroutine of this package: Child looks at its environment and
// returns.
//
// # What is left behind
//
// Nothing. A process is the leader of a group of its own; when it has ended,
// whatever is left of the group is killed. If the test process itself is killed,
// the kernel kills the children (Pdeathsig, from a thread that lives as long as
// the child), children that have called Child end themselves when their pipe
// breaks, and a guard kills all else that inherited the environment, also what has
// left the group. A grandchild that clears its environment and leaves the group
// escapes.
//
// All this is so on Linux. On other Unix systems children that have called Child end
// with the test, and others may not; Freeze does not wait, and Sample cannot tell.
// Elsewhere the package compiles, and Start says that it cannot.
package proc
