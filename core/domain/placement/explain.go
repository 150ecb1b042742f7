package placement

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Explainer says why workloads wait, over one snapshot. It keeps what it finds for each kind of
// work. Not safe for concurrent use.
type Explainer struct {
	entitlements map[domain.CustomerID]domain.Entitlements
	offered      map[string]bool
	fleet        fleet
	running      map[domain.CustomerID]int
	byShape      map[string]*finding
}

// finding is what the workers are able to do for one kind of work.
type finding struct {
	reasons   []Reason
	placeable bool
	room      int
	slots     int
}

// NewExplainer returns an explainer. It does not change the snapshot. The caller must not change
// the snapshot's workers and occupancy while it uses the explainer.
func NewExplainer(s Snapshot) *Explainer {
	e := &Explainer{
		entitlements: make(map[domain.CustomerID]domain.Entitlements, len(s.Customers)), offered: Offered(s.Workers),
		fleet: newFleet(s), running: map[domain.CustomerID]int{}, byShape: map[string]*finding{},
	}
	maps.Copy(e.entitlements, s.Customers)
	for i := range s.Occupancy {
		e.running[s.Occupancy[i].Lane.CustomerID] += s.Occupancy[i].Count
	}
	return e
}

// Offered returns the capabilities that live workers offer. A draining worker counts, a dead one
// does not.
func Offered(workers []domain.Worker) map[string]bool {
	offered := map[string]bool{}
	for i := range workers {
		if workers[i].Live() {
			for _, c := range workers[i].Capabilities {
				offered[c] = true
			}
		}
	}
	return offered
}

func (e *Explainer) find(l *domain.Lane) *finding {
	key := l.Shape()
	if e.fleet.binding[l.CustomerID] {
		// The customer's own anti rules bind its work only, so that its lanes find other workers
		// than the lanes of the same shape of other customers.
		key = string(l.CustomerID) + "\x00" + key
	}
	if e.fleet.reserved[l.ID] != nil {
		key = "reserved\x00" + string(l.ID) // for the others, what it has reserved is taken
	}
	f := e.byShape[key]
	if f == nil {
		f = &finding{}
		f.reasons, f.placeable, f.room = e.fleet.explain(l, nil)
		f.slots = e.fleet.slots(l)
		e.byShape[key] = f
	}
	return f
}

// Explain says why workloads of the lane wait. Reasons about the customer and the type come first,
// then one reason for each obstacle on the workers, the most frequent first.
func (e *Explainer) Explain(l *domain.Lane) (reasons []Reason) {
	switch {
	case e.entitlements[l.CustomerID].Suspended:
		reasons = append(reasons, Reason{Code: ReasonSuspended, Message: "customer is suspended"})
	case e.AtLimit(l.CustomerID):
		limit := e.entitlements[l.CustomerID].MaxConcurrent
		reasons = append(reasons, Reason{
			Code: ReasonCustomerLimit, Message: fmt.Sprintf("customer at its limit of %d running workloads", limit),
		})
	}
	if !e.offered[l.Type] {
		reasons = append(reasons, NotOffered(l.Type))
	}
	return append(reasons, e.find(l).reasons...)
}

// ExplainWorkload says why one workload of the lane waits. Beside what Explain says, it names the
// workers that have declined the workload, and those that hold another suspect if it is one itself,
// and it knows whether the workload ends in time to pass a reservation.
func (e *Explainer) ExplainWorkload(l *domain.Lane, c *domain.Candidate) []Reason {
	reasons := e.Explain(l)
	reserved := slices.ContainsFunc(reasons, func(r Reason) bool { return r.Code == ReasonReserved })
	if len(c.Declines) == 0 && c.SuspectSince.IsZero() && !reserved {
		return reasons
	}
	n := len(reasons) - len(e.find(l).reasons)
	ofWorkers, _, _ := e.fleet.explain(l, c)
	return append(reasons[:n:n], ofWorkers...)
}

// Entitlements returns the customer's entitlements; known reports whether the explainer has them.
func (e *Explainer) Entitlements(id domain.CustomerID) (entitlements domain.Entitlements, known bool) {
	entitlements, known = e.entitlements[id]
	return entitlements, known
}

// Learn adds the entitlements of a customer that the snapshot does not have.
func (e *Explainer) Learn(id domain.CustomerID, entitlements domain.Entitlements) {
	e.entitlements[id] = entitlements
}

// AtLimit reports whether the customer runs as many workloads as it may.
func (e *Explainer) AtLimit(id domain.CustomerID) bool {
	entitlements, known := e.entitlements[id]
	return known && e.running[id] >= entitlements.MaxConcurrent
}

// Placeable reports whether some healthy worker could run the lane's workloads if it were empty.
func (e *Explainer) Placeable(l *domain.Lane) bool { return e.find(l).placeable }

// Unplaceable returns why no worker could run the lane's workloads even if it were empty. The text
// does not change with the number of workers. It is empty if some worker could run them.
func (e *Explainer) Unplaceable(l *domain.Lane) string {
	if f := e.find(l); !f.placeable {
		return unplaceable(l, f.reasons)
	}
	return ""
}

// Room returns the number of free slots on workers that can take a workload of the lane now. It is
// an upper bound: workloads may also need resources.
func (e *Explainer) Room(l *domain.Lane) int { return e.find(l).room }

// Slots returns the number of slots, free or not, on workers that could run the lane's workloads.
func (e *Explainer) Slots(l *domain.Lane) int { return e.find(l).slots }

func (f *fleet) slots(l *domain.Lane) (n int) {
	for _, w := range f.workers {
		if _, couldRun := w.obstacle(l); couldRun {
			n += w.Slots
		}
	}
	return n
}

// explain counts the obstacles on the workers for the lane, or for one workload of it if c is
// given.
func (f *fleet) explain(l *domain.Lane, c *domain.Candidate) (reasons []Reason, placeable bool, room int) {
	having := map[obstacle][]domain.WorkerID{}
	var due time.Time // of the reservations
	for _, w := range f.workers {
		o, couldRun := w.obstacle(l)
		placeable = placeable || couldRun
		if c != nil && o.code == ReasonReserved && w.open(l, f.endOf(l, c)) == &w.holding {
			o = able
		}
		if o.code == ReasonReserved && w.due.After(due) {
			due = w.due
		}
		if c != nil && o.code == ReasonNext && c.Declined(w.ID, f.now) {
			o = obstacle{ReasonDeclined, "%s that declined it a moment ago"}
		}
		if c != nil && o.code == ReasonNext && w.suspects > 0 && domain.AvoidsSuspects(c.SuspectSince, f.now) {
			o = obstacle{
				ReasonSuspects,
				"%s running another workload under which workers died; it waits up to a minute for one of its own",
			}
		}
		having[o] = append(having[o], w.ID)
		if o.code == ReasonNext {
			room += w.Slots - w.used
		}
	}
	if len(f.draining) > 0 {
		having[obstacle{ReasonDraining, "%s draining"}] = slices.Clone(f.draining)
	}
	if len(having) == 0 {
		return []Reason{{Code: ReasonNoWorker, Message: "no worker is registered"}}, false, 0
	}
	for o, workers := range having {
		if o.code == ReasonReserved && due.After(f.now) {
			o.message += ", until about " + due.UTC().Format(time.RFC3339)
		}
		reasons = append(reasons, o.reason(workers))
	}
	slices.SortFunc(reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Workers, a.Workers), cmp.Compare(a.Message, b.Message))
	})
	return reasons, placeable, room
}
