package telemetry

import "math/rand/v2"

// random returns a random number. It is never zero, because the id of a span must not be.
func random() uint64 { return rand.Uint64() | 1 }
