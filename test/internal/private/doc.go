// Package private is what the keepers of private servers (test/rabbit, test/postgres,
// test/redis) have in common: loopback ports that no other test takes, processes in
// folders of their own, and a watchdog that leaves nothing behind, also when the test
// is killed. It is for Linux; elsewhere it compiles, and Supported is false.
package private
