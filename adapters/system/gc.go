package system

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// gcSlack is how much garbage gathers before a collection, however small the heap is.
	gcSlack = 64 << 20
	// gcPercent is Go's default, maxGCPercent what a small heap gets at most.
	gcPercent, maxGCPercent = 100, 400
)

// TuneGC lets a small heap gather gcSlack of garbage before it is collected. By default a heap of
// 15 MB is collected each time it has grown by as much, which takes a fifth of the processor time of
// a busy coordinator. A large heap is collected as by default. An operator who sets GOGC decides
// instead.
func TuneGC() {
	if os.Getenv("GOGC") == "" {
		tune(&tuner{live: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}, percent: gcPercent})
	}
}

// tuner sets the percentage after each collection. The finalizer of mark tells of one.
type tuner struct {
	live    []metrics.Sample
	percent int
}

type mark struct{ t *tuner }

func tune(t *tuner) {
	metrics.Read(t.live)
	if p := percentFor(t.live[0].Value.Uint64()); p != t.percent {
		t.percent = p
		debug.SetGCPercent(p) // stops the world for a moment
	}
	runtime.SetFinalizer(&mark{t}, func(m *mark) { tune(m.t) })
}

// percentFor returns the percentage at which a heap with so many live bytes may grow by gcSlack. It
// is rounded to tens, so that it seldom changes.
func percentFor(live uint64) int {
	p := min(gcSlack*100/max(live, 1), maxGCPercent)
	return max(int(p)/10*10, gcPercent) //nolint:gosec // at most maxGCPercent
}
