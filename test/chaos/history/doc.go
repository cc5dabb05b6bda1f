// Package history is what a chaos run leaves behind: an append-only log of every
// call, effect and fault, which package check judges afterwards.
//
// Each process of a run has a file of its own in the run's folder, opened with
// [Open]. It holds one [Event] a line, as JSON, and an event whose Append has
// returned is on disk: what a process that is killed knew, its log knows. [Read]
// reads the files of all processes, also while they are written.
//
// A [Recorder] writes what a client's call events need to be.
//
// # What may be compared with what
//
// At of every event is the time since the run's start. In one process it is
// monotonic: it is exact, and no change of the system's clock touches it. Processes
// agree about the start by the system's clock, which each reads once, when it opens
// its log. So times of different processes of one machine may be compared too,
// unless the clock was stepped between the openings. Wall is the system's clock at
// the same instant: where Wall less At is not the same everywhere, it was stepped,
// and by that much times of different processes may be wrong. Times of different
// machines are as good as their clocks are together.
//
// The order of events in a file is that in which they were handed over, which for
// those of different goroutines need not be that of At. Nothing follows from the
// order of files.
package history
