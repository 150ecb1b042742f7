package domain

import (
	"slices"
	"time"
)

// Rules of suspects (rule 7 of docs/DOMAIN.md). A workload under which workers die in a row may be what kills them. It may as well have been
// beside it. So that the next death tells, a worker has at most one suspect.
const (
	// MaxLossStreak is how many workers in a row may die under a workload before it is quarantined.
	MaxLossStreak = 3
	// suspectStreak is how many make it a suspect.
	suspectStreak = 2
	// SuspectCleared is how long a run lasts that clears its workload of the deaths before.
	SuspectCleared = 5 * time.Minute
	// SuspectPatience is how long a suspect waits for a worker without another suspect before it shares one.
	SuspectPatience = time.Minute
)

// Suspect reports whether the workload is a suspect.
func (s *State) Suspect() bool { return s.LossStreak >= suspectStreak }

// SuspectUntil is until when a workload that is held is a suspect, if nothing happens: zero when it is none.
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

// AvoidsSuspects reports whether a suspect that began to wait at since still waits for a worker without another suspect. It does
// so for SuspectPatience.
func AvoidsSuspects(since, now time.Time) bool {
	return !since.IsZero() && now.Sub(since) < SuspectPatience
}

// die counts the death of the session that ran the workload. Deaths of sessions that have returned since are taken back.
func (s *State) die(w *Workload, t *Transition, now time.Time) {
	if w.Status != StatusRunning {
		return // it had not started: it killed nobody
	}
	deaths := slices.DeleteFunc(slices.Clone(w.Deaths), func(id SessionID) bool { return slices.Contains(t.Returned, id) })
	if now.Sub(w.StartedAt) >= SuspectCleared && !w.StartedAt.IsZero() {
		deaths = nil
	}
	if t.Loss.death() && !t.Excused {
		deaths = append(deaths, w.SessionID)
	}
	s.setDeaths(deaths, now)
}

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

// death reports whether the loss is the death of a worker, as far as is known.
func (l Loss) death() bool { return l == LossDied || l == LossExpired }

// Excused reports whether the end of the session does not speak against what ran, though it looks like a death: the lease of a supervised
// worker expired, whose death would have been certified; or the session has returned, so that its process lives.
func (e *EndedSession) Excused() bool {
	return e.Loss == LossExpired && (e.Supervised || e.Returned)
}
