// Package archtest holds the test that keeps the packages' dependencies as designed: who may import whom, which
// types may show in an exported signature, where `testing` may be linked in, and how long a file may grow.
//
// The rules are data, in rules_test.go, each with its reason. A new package needs a row there; a new import
// needs a decision, not an exception.
package archtest
