package execution

import (
	"github.com/niyanta/niyanta/core/domain"
)

// Stats describe a worker at one moment.
type Stats struct {
	// Registered reports whether the worker has a session whose lease has not ended.
	Registered bool
	// Draining reports whether it takes no new work.
	Draining bool
	// Slots is how many runs it takes at once. Used is how many runs take a slot, those included
	// that were told to end and have not returned.
	Slots, Used int
	// Runs counts the runs by type. It has all types that the worker offers.
	Runs map[string]RunStats
}

// RunStats count the runs of one type since the process started.
type RunStats struct {
	Started int
	Ended   map[RunResult]int
}

// RunResult is how a run ended on this worker.
type RunResult string

// The results.
const (
	RunCompleted RunResult = "completed"
	RunFailed    RunResult = "failed"
	// RunPaused is a run that was paused.
	RunPaused RunResult = "paused"
	// RunReleased is a run that was given back, because the worker drains or to make room.
	RunReleased RunResult = "released"
	// RunStopped is a run that was cancelled or fenced, or that ended without a session.
	RunStopped RunResult = "stopped"
)

// RunResults returns all results.
func RunResults() []RunResult {
	return []RunResult{RunCompleted, RunFailed, RunPaused, RunReleased, RunStopped}
}

// Ready reports whether the worker takes work: it is registered and does not drain.
func (s *Stats) Ready() bool { return s.Registered && !s.Draining }

// runResult returns how a run ended that ends with this report.
func runResult(e domain.Event) RunResult {
	switch e {
	case domain.EventComplete:
		return RunCompleted
	case domain.EventPaused:
		return RunPaused
	case domain.EventRelease:
		return RunReleased
	default:
		return RunFailed
	}
}

// runCounts counts runs.
type runCounts struct {
	started map[string]int
	ended   map[endedKey]int
}

type endedKey struct {
	workloadType string
	result       RunResult
}

func newRunCounts() runCounts {
	return runCounts{started: map[string]int{}, ended: map[endedKey]int{}}
}

// Stats describes the worker now.
func (a *Agent) Stats() Stats {
	_, registered := a.ref()
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Stats{
		Registered: registered, Draining: a.draining, Slots: a.cfg.Slots, Used: a.active,
		Runs: make(map[string]RunStats, len(a.cfg.Types)),
	}
	for t := range a.cfg.Types {
		r := RunStats{Started: a.counts.started[t], Ended: map[RunResult]int{}}
		for _, result := range RunResults() {
			r.Ended[result] = a.counts.ended[endedKey{t, result}]
		}
		s.Runs[t] = r
	}
	return s
}

// Stats describes the worker now. Safe for concurrent use.
func (e *Engine) Stats() Stats { return e.agent.Stats() }
