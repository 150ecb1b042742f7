package system

import (
	"crypto/rand"
	mathrand "math/rand/v2"

	"github.com/google/uuid"

	"github.com/niyanta/niyanta/core/domain"
)

// IDs implements ports.IDs: UUIDv7 for ids, the system's generator for secrets.
type IDs struct{}

// New implements ports.IDs.
func (IDs) New(prefix string) string {
	// NewV7 fails only without randomness, and then crypto/rand ends the process.
	return domain.EncodeID(prefix, uuid.Must(uuid.NewV7()))
}

// Random implements ports.IDs.
func (IDs) Random(b []byte) { _, _ = rand.Read(b) } // never fails, by its documentation

// Float64 implements ports.IDs.
func (IDs) Float64() float64 { return mathrand.Float64() }
