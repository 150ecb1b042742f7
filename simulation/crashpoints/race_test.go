//go:build race

package crashpoints_test

// defaultSample is n if only every n-th of the chosen harms is done. The runs have one thread, so the
// race detector finds little in them. make test does more of them without it.
const defaultSample = 24
