// Package simulation holds simulations to what they simulate: Warren's client
// and server on the broker in memory, in a bubble where a minute takes no time,
// meet what package reliability/simulate says of it.
package simulation
