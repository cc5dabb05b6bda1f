// Package mutants breaks the framework's promises one by one, by a change of its
// source, and has a chaos run find each out: what the run says of the framework as
// it is, is worth something only then.
//
// `go test` applies and compiles all changes, and runs two. `make mutants` runs all,
// each next to the same run of the framework as it is, which must find nothing.
package mutants
