package memory

import (
	"slices"
	"strings"

	"github.com/niyanta/niyanta/core/domain"
)

// Traces returns the number of items by kind that the store has of a customer and these workloads of
// it. Kinds of which it has none are listed with 0. The checks of deletions use it.
func (s *Store) Traces(customer domain.CustomerID, workloads []domain.WorkloadID) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{
		"customers": 0, "workloads": 0, "archive": 0, "lanes": 0, "delayed": 0, "ending": 0, "keys": 0, "uses": 0,
		"answers": 0, "uploads": 0, "garbage": 0,
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
	for _, u := range s.uploads {
		if u.CustomerID == customer {
			n["uploads"]++
		}
	}
	for _, g := range s.garbage {
		if g.customer == customer {
			n["garbage"]++
		}
	}
	return n
}
