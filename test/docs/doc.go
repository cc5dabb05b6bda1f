// Package docs holds the tests that keep README.md and docs/ true: their
// programs are compiled and run, their commands exist, the tests and files that
// they name are there, and what docs/guarantees.md promises and no other test
// shows is shown here.
package docs
