package system

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPercentFor(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 400, 1 << 20: 400, 16 << 20: 400, 20 << 20: 320, 32 << 20: 200, 60 << 20: 100, 64 << 20: 100, 4 << 30: 100,
	} {
		require.Equal(t, want, percentFor(live), "%d live bytes", live)
	}
}

// The percentage follows the heap up and down.
func TestTuneGC_WhenTheHeapGrowsAndShrinks_FollowsIt(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(gcPercent)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	current := func() int {
		p := debug.SetGCPercent(gcPercent)
		debug.SetGCPercent(p)
		return p
	}
	TuneGC()
	require.Equal(t, maxGCPercent, current())
	large := make([]byte, 200<<20)
	require.Eventually(t, func() bool { runtime.GC(); return current() == gcPercent }, time.Minute, time.Millisecond)
	runtime.KeepAlive(large)
	large = nil
	require.Eventually(t, func() bool { runtime.GC(); return current() == maxGCPercent }, time.Minute, time.Millisecond)
	runtime.KeepAlive(large)
}

func TestTuneGC_WhenTheOperatorSetsGOGC_LeavesIt(t *testing.T) {
	t.Setenv("GOGC", "150")
	before := debug.SetGCPercent(150)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	TuneGC()
	runtime.GC()
	require.Equal(t, 150, debug.SetGCPercent(150))
}
