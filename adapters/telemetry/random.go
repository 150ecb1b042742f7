package telemetry

import "math/rand/v2"

// random is never zero, which the id of a span must not be.
func random() uint64 { return rand.Uint64() | 1 }
