// Package report shows what package check found of a chaos run: as text for a
// terminal, as JSON for scripts, and as one HTML page for people, which needs
// nothing else to be looked at.
package report
