// Package coordinator puts the services of a coordinator together and says which loops it runs.
// Processes, simulations and tests all get the same services wired in the same way from here; they
// differ in the adapters that they pass.
//
// The package starts no goroutine and reads no clock. Whoever runs a coordinator runs its loops:
// bootstrap with goroutines and timers, a simulator single-threaded in virtual time.
package coordinator
