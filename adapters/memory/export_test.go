package memory

import (
	"slices"
	"strings"

	"github.com/niyanta/niyanta/core/domain"
)

// Sizes returns how much a store holds.
func Sizes(s *Store) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{
		"workloads": len(s.workloads), "archive": len(s.archive), "lanes": len(s.lanes), "delayed": s.delayed.Len(),
		"holdings": len(s.holdings), "workers": len(s.workers), "sessions": len(s.past),
		"certificates": len(s.certificates), "keys": len(s.keys), "workers with events": len(s.byWorker),
		"key uses": len(s.uses), "admin events": len(s.adminEvents), "tickets": len(s.tickets),
	}
	for _, events := range s.byWorker {
		n["events of workers"] += len(events)
	}
	for _, r := range s.workloads {
		n["events"] += len(r.audit)
		n["lines"] += len(r.logs)
		n["checkpoints"] += len(r.checkpoints)
	}
	for _, r := range s.archive {
		n["events"] += len(r.audit)
		n["lines"] += len(r.logs)
		n["checkpoints"] += len(r.checkpoints)
	}
	for _, t := range s.customers {
		n["lists"] += t.byCreated.Len()
		n["finished"] += t.finished.Len()
		n["happened"] += t.happened.Len()
		n["hours"] += len(t.counts.hours)
		n["types"] += len(t.counts.types)
		n["idempotency keys"] += len(t.uses)
	}
	return n
}

// Traces counts what a store holds of a customer and of these workloads of it.
func Traces(s *Store, customer domain.CustomerID, workloads []domain.WorkloadID) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{
		"customers": 0, "workloads": 0, "archive": 0, "lanes": 0, "delayed": 0, "ending": 0, "keys": 0, "uses": 0,
		"answers": 0,
	}
	if s.customers[customer] != nil {
		n["customers"]++
	}
	for _, id := range workloads {
		if s.workloads[id] != nil {
			n["workloads"]++
		}
		if s.archive[id] != nil {
			n["archive"]++
		}
	}
	for id := range s.lanes {
		if strings.HasPrefix(string(id), string(customer)+"/") {
			n["lanes"]++
		}
	}
	s.delayed.Scan(func(r *record) bool {
		if r.CustomerID == customer {
			n["delayed"]++
		}
		return true
	})
	for _, h := range s.holdings {
		for run := range h.ending {
			if slices.Contains(workloads, run.WorkloadID) {
				n["ending"]++
			}
		}
	}
	for _, k := range s.keys {
		if k.CustomerID == customer {
			n["keys"]++
		}
	}
	for _, u := range s.uses {
		if u.CustomerID == customer {
			n["uses"]++
		}
	}
	for _, a := range s.answers {
		if a.CustomerID == customer {
			n["answers"]++
		}
	}
	return n
}
