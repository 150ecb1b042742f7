package testfiles

import (
	"sync"
	"time"
)

// stallTick is the time between two looks at the clock.
const stallTick = 5 * time.Millisecond

// Stopwatch measures how long something takes on a machine that others use too. It leaves out the
// time during which the machine kept this process from running: a bound then says something about
// the code, and not about what runs beside it.
type Stopwatch struct {
	begun time.Time

	mu      sync.Mutex
	due     time.Time // the next tick
	stalled time.Duration
}

// StartStopwatch starts one. It runs until the test, which tb stands for, ends.
func StartStopwatch(tb interface {
	Helper()
	Cleanup(f func())
}) *Stopwatch {
	tb.Helper()
	s := &Stopwatch{begun: time.Now(), due: time.Now().Add(stallTick)}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		s.watch(stop)
	}()
	tb.Cleanup(func() {
		close(stop)
		<-stopped
	})
	return s
}

// watch adds up how late each tick is.
func (s *Stopwatch) watch(stop <-chan struct{}) {
	ticks := time.NewTimer(stallTick)
	defer ticks.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticks.C:
		}
		s.mu.Lock()
		s.stalled += s.lateLocked()
		s.due = time.Now().Add(stallTick)
		s.mu.Unlock()
		ticks.Reset(stallTick)
	}
}

// lateLocked returns how late the next tick is.
func (s *Stopwatch) lateLocked() time.Duration { return max(time.Since(s.due), 0) }

// Took returns the time since the start, without that during which the process was kept from
// running.
func (s *Stopwatch) Took() time.Duration {
	return time.Since(s.begun) - s.Stalled()
}

// Stalled returns how long the process has been kept from running since the start.
func (s *Stopwatch) Stalled() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stalled + s.lateLocked()
}
