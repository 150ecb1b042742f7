//go:build race

package crashpoints_test

// Under the race detector, which one-threaded runs give little to find, every so many of the chosen
// harms is done; make test does all of them without it.
const sampled = 8
