package memory

import (
	"time"

	"github.com/tidwall/btree"

	"github.com/niyanta/niyanta/core/domain"
)

// lane holds the eligible workloads of one lane, in order. It exists while anything waits or runs
// in it.
type lane struct {
	domain.Lane
	waiting *btree.BTreeG[*record]
	held    int
}

// holding is what one session holds, and the ending runs that keep its slots.
type holding struct {
	records map[domain.WorkloadID]*record
	lanes   map[domain.LaneID]int
	ending  map[domain.RunID]domain.Ending
}

func (s *Store) laneOfLocked(r *record) *lane {
	l := s.lanes[r.Lane]
	if l == nil {
		l = &lane{Lane: domain.NewLane(&r.Spec), waiting: newTree(func(r *record) time.Time { return r.QueueAt })}
		s.lanes[r.Lane] = l
	}
	return l
}

func (s *Store) dropIfIdleLocked(l *lane) {
	if l.held == 0 && l.waiting.Len() == 0 {
		delete(s.lanes, l.ID)
	}
}

// enterLocked adds a record to the indexes of its state, and leaveLocked removes it. A record
// changes only between the two.
func (s *Store) enterLocked(r *record, now time.Time) {
	switch {
	case r.Status.Waiting():
		s.enqueueLocked(r, now)
	case r.Status.Held():
		s.holdLocked(r)
	case r.Status.Final():
		s.customers[r.CustomerID].finished.Set(r)
	}
}

func (s *Store) leaveLocked(r *record) {
	switch {
	case r.Status.Waiting():
		s.dequeueLocked(r)
	case r.Status.Held():
		s.unholdLocked(r)
	}
}

func (s *Store) enqueueLocked(r *record, now time.Time) {
	if r.NotBefore.After(now) {
		r.isDelayed = true
		s.delayed.Set(r)
		return
	}
	l := s.laneOfLocked(r)
	r.queued = l
	l.waiting.Set(r)
}

func (s *Store) dequeueLocked(r *record) {
	if r.isDelayed {
		r.isDelayed = false
		s.delayed.Delete(r)
		return
	}
	l := r.queued
	r.queued = nil
	l.waiting.Delete(r)
	s.dropIfIdleLocked(l)
}

// promoteLocked moves workloads that have become due from the delayed tree into their lanes.
func (s *Store) promoteLocked(now time.Time) {
	for {
		r, ok := s.delayed.Min()
		if !ok || r.NotBefore.After(now) {
			return
		}
		s.dequeueLocked(r)
		s.enqueueLocked(r, now)
	}
}

func (s *Store) holdingOfLocked(session domain.SessionID) *holding {
	h := s.holdings[session]
	if h == nil {
		h = &holding{records: map[domain.WorkloadID]*record{}, lanes: map[domain.LaneID]int{},
			ending: map[domain.RunID]domain.Ending{}}
		s.holdings[session] = h
	}
	return h
}

// keepEndingLocked adds and removes the ending runs of live sessions.
func (s *Store) keepEndingLocked(r *record, hands domain.Hands, e domain.Ending) {
	k := e.Run()
	switch {
	case hands == domain.HandsKeep && s.workers[e.WorkerID].Holds(e.SessionID):
		h := s.holdingOfLocked(e.SessionID)
		if _, known := h.ending[k]; !known {
			h.ending[k] = e
			s.laneOfLocked(r).held++
		}
	case hands == domain.HandsFree && s.holdings[e.SessionID] != nil:
		s.letGoLocked(s.holdings[e.SessionID], k)
		s.dropIfEmptyLocked(e.SessionID)
	}
}

// heldOfLocked returns what a worker has and what the runs of its session hold of it.
func (s *Store) heldOfLocked(wk *domain.Worker) *domain.Holding {
	held := domain.NewHolding(&wk.Resources)
	if h := s.holdings[wk.SessionID]; h != nil {
		for _, r := range h.records {
			held.Take(&r.Run.Resources, r.Devices, 1)
		}
		for _, e := range h.ending {
			held.Take(&s.lanes[e.Lane].Resources, e.Devices, 1)
		}
	}
	return &held
}

func (s *Store) letGoLocked(h *holding, k domain.RunID) {
	e, known := h.ending[k]
	if !known {
		return
	}
	delete(h.ending, k)
	l := s.lanes[e.Lane]
	l.held--
	s.dropIfIdleLocked(l)
}

func (s *Store) dropIfEmptyLocked(session domain.SessionID) {
	if h := s.holdings[session]; len(h.records) == 0 && len(h.ending) == 0 {
		delete(s.holdings, session)
	}
}

func (s *Store) holdLocked(r *record) {
	h := s.holdingOfLocked(r.SessionID)
	h.records[r.ID] = r
	h.lanes[r.Lane]++
	s.laneOfLocked(r).held++
}

func (s *Store) unholdLocked(r *record) {
	h := s.holdings[r.SessionID]
	delete(h.records, r.ID)
	if h.lanes[r.Lane]--; h.lanes[r.Lane] == 0 {
		delete(h.lanes, r.Lane)
	}
	s.dropIfEmptyLocked(r.SessionID)
	l := s.lanes[r.Lane]
	l.held--
	s.dropIfIdleLocked(l)
}
