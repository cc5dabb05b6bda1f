//go:build !race

package storetest

// underRace says that the race detector looks on: everything takes many times as long.
const underRace = false
