package simulation

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// clock is the virtual clock of a run.
type clock struct{ now time.Time }

// Now implements ports.Clock.
func (c *clock) Now() time.Time { return c.now }

// skewed is the clock of one process. It runs as fast as the virtual clock, with a constant offset.
type skewed struct {
	*clock
	offset time.Duration
}

// Now implements ports.Clock.
func (c skewed) Now() time.Time { return c.now.Add(c.offset) }

// skewed draws the clock of a process. It is up to an hour ahead of the storage's clock or behind.
func (w *World) skewed() ports.Clock {
	switch {
	case w.clockOf != nil:
		return w.clockOf()
	case w.P == (Probabilities{}):
		return w.clock
	}
	return skewed{w.clock, time.Duration(w.rng.IntN(7200)-3600) * time.Second}
}

// ids makes ids that sort by creation, and takes randomness from the seed.
type ids struct {
	n     uint64
	rng   *rand.Rand
	fixed bool // Float64 returns 0
}

// New implements ports.IDs.
func (i *ids) New(prefix string) string {
	i.n++
	var b [16]byte
	binary.BigEndian.PutUint64(b[8:], i.n)
	return domain.EncodeID(prefix, b)
}

// Random implements ports.IDs.
func (i *ids) Random(b []byte) {
	for k := range b {
		b[k] = byte(i.rng.Uint32())
	}
}

// Float64 implements ports.IDs.
func (i *ids) Float64() float64 {
	if i.fixed {
		return 0
	}
	return i.rng.Float64()
}

// observer counts the applied transitions by event. It ignores all else that an Observer is told.
type observer struct{ w *World }

// Transitioned implements ports.Observer.
func (o observer) Transitioned(b domain.Batch, rs []domain.Result, _ time.Duration) {
	for i := range rs {
		if rs[i].Outcome == domain.OutcomeApplied {
			o.w.Events[b.Transitions[i].Event]++
		}
	}
}

// Submitted implements ports.Observer.
func (observer) Submitted(domain.Tier, []ports.SubmitResult, time.Duration) {}

// Checkpointed implements ports.Observer.
func (observer) Checkpointed(ports.CheckpointAttempt) {}

// Cycle implements ports.Observer.
func (observer) Cycle(ports.SchedulingCycle) {}

// Leader implements ports.Observer.
func (observer) Leader(bool, int64) {}

// Purged implements ports.Observer.
func (observer) Purged(domain.Kept, int) {}

// Count implements ports.Observer.
func (observer) Count(string, int) {}
