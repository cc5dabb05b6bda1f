// Package simulate tells what a policy does before it does it: clients call one
// method while its servers are away, fail or are slow, and what comes of it is
// counted.
//
// Time is virtual, so that a minute takes some milliseconds. What decides is
// the code that decides in production: breakers, budgets and bulkheads, and the state
// machine of package client's calls. Broker, servers and network are a model;
// [Scenario] says which.
//
// The same scenario gives the same result, to the bit on machines of one
// architecture.
package simulate
