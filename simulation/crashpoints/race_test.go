//go:build race

package crashpoints_test

// sampleEvery is n if only every n-th of the chosen harms is done. The runs have one thread, so the
// race detector finds little in them. make test does all harms without it.
const sampleEvery = 8
