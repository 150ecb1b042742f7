package domain

import (
	"slices"
	"time"
)

// Bounds of rule 7 of docs/DOMAIN.md. A workload is a suspect when workers have died in a row while
// they ran it. It may have killed them, or another workload beside it may have. A worker holds at
// most one suspect, so that the next death shows which it was.
const (
	// MaxLossStreak is how many workers in a row die under a workload that is then quarantined.
	MaxLossStreak = 3
	// suspectStreak is how many deaths in a row make a workload a suspect.
	suspectStreak = 2
	// SuspectCleared is how long a run must last so that the deaths before it no longer count.
	SuspectCleared = 5 * time.Minute
	// SuspectPatience is how long a suspect waits for a worker without another suspect. After that
	// it may share one.
	SuspectPatience = time.Minute
)

// Suspect reports whether the workload is a suspect.
func (s *State) Suspect() bool { return s.LossStreak >= suspectStreak }

// SuspectUntil returns until when a held workload is a suspect if its run goes on: forever before
// the run has started, zero when the workload is not held or not a suspect.
func (s *State) SuspectUntil() time.Time {
	switch {
	case !s.Suspect() || !s.Status.Held():
		return time.Time{}
	case s.Status == StatusRunning:
		return s.StartedAt.Add(SuspectCleared)
	}
	return forever
}

var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// AvoidsSuspects reports whether a suspect that began to wait at since must still wait for a worker
// without another suspect.
func AvoidsSuspects(since, now time.Time) bool {
	return !since.IsZero() && now.Sub(since) < SuspectPatience
}

// die counts the death of the session that ran the workload. Deaths of sessions that have returned
// since no longer count.
func (s *State) die(w *Workload, t *Transition, now time.Time) {
	if w.Status != StatusRunning {
		return // a run that had not started cannot have killed its worker
	}
	deaths := slices.DeleteFunc(slices.Clone(w.Deaths), func(id SessionID) bool {
		return slices.Contains(t.Returned, id)
	})
	if now.Sub(w.StartedAt) >= SuspectCleared && !w.StartedAt.IsZero() {
		deaths = nil
	}
	if t.Loss.death() && !t.Excused {
		deaths = append(deaths, w.SessionID)
	}
	s.setDeaths(deaths, now)
}

// setDeaths replaces the deaths that count.
func (s *State) setDeaths(deaths []SessionID, now time.Time) {
	if len(deaths) == 0 {
		deaths = nil
	}
	s.Deaths, s.LossStreak = deaths, len(deaths)
	switch {
	case !s.Suspect():
		s.SuspectSince = time.Time{}
	default:
		s.SuspectSince = now
	}
}

// death reports whether the loss looks like the death of a worker.
func (l Loss) death() bool { return l == LossDied || l == LossExpired }

// Excused reports whether the session did not die although its lease expired. If the worker has a
// supervisor, that would have certified the death. If the session has returned, its process lives.
func (e *EndedSession) Excused() bool {
	return e.Loss == LossExpired && (e.Supervised || e.Returned)
}
