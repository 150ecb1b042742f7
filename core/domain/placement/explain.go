package placement

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// ReasonCode classifies why a workload waits, or what a worker lacks for it.
type ReasonCode string

// The codes. The first group is about the workload and its customer, the second about workers: each worker is counted under the
// first that applies.
const (
	ReasonNotBefore     ReasonCode = "not_before"       // run_at is to come, or the pause after a worker declined it
	ReasonRetry         ReasonCode = "retry_backoff"    // the backoff of a retry is to come
	ReasonCustomerLimit ReasonCode = "customer_limit"   // its customer runs as much as it may
	ReasonNotOffered    ReasonCode = "type_not_offered" // no worker that is registered offers its type
	ReasonNoWorker      ReasonCode = "no_worker"        // no worker is registered
	ReasonNext          ReasonCode = "next"             // some worker could take it now: it is about to be placed, or others are before it

	ReasonDraining     ReasonCode = "worker_draining"
	ReasonMissingType  ReasonCode = "missing_type"
	ReasonOtherWorker  ReasonCode = "other_worker_id"
	ReasonMissingTag   ReasonCode = "missing_tag"
	ReasonMissingTypes ReasonCode = "missing_workload_types"
	ReasonExcluded     ReasonCode = "excluded"
	ReasonTooSmall     ReasonCode = "too_small"
	ReasonFull         ReasonCode = "full"
	ReasonEnding       ReasonCode = "run_ending" // full, and one of its runs has ended but does not return
	ReasonDeclined     ReasonCode = "declined"   // gave it back a moment ago
	ReasonSuspects     ReasonCode = "suspects"   // workers died under it, and under another one that runs there
	ReasonResources    ReasonCode = "resources_taken"
	ReasonConflict     ReasonCode = "conflict"
)

// Reason is one reason why a workload waits, in words that are the same wherever it is told.
type Reason struct {
	Code ReasonCode
	// Workers is how many workers it applies to; 0 for reasons about the workload or its customer.
	Workers int
	Message string
}

// Explainer says of lanes, over one snapshot, why their workloads wait. What it finds for a shape it keeps. Not safe for concurrent use.
type Explainer struct {
	entitlements map[domain.CustomerID]domain.Entitlements
	offers       map[string]bool // types that workers offer, draining ones included
	fleet        fleet
	running      map[domain.CustomerID]int
	byShape      map[string]*finding
}

// finding is what the workers are for a shape.
type finding struct {
	reasons   []Reason
	placeable bool
	room      int
	slots     int
}

// NewExplainer returns an explainer; the snapshot is not changed, and its workers and occupancy must not be meanwhile.
func NewExplainer(s Snapshot) *Explainer {
	e := &Explainer{entitlements: make(map[domain.CustomerID]domain.Entitlements, len(s.Customers)), fleet: newFleet(s), running: map[domain.CustomerID]int{}, byShape: map[string]*finding{}}
	maps.Copy(e.entitlements, s.Customers)
	e.offers = Offered(s.Workers)
	for i := range s.Occupancy {
		e.running[s.Occupancy[i].Lane.CustomerID] += s.Occupancy[i].Count
	}
	return e
}

func (e *Explainer) find(l *domain.Lane) *finding {
	key := l.Shape()
	if e.fleet.binding[l.CustomerID] { // then its own work finds other workers than everybody else's
		key = string(l.CustomerID) + "\x00" + key
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

// Explain says why a workload of the lane waits: one reason per kind of obstacle, those of the workers by how many they are.
func (e *Explainer) Explain(l *domain.Lane) (reasons []Reason) {
	if e.AtLimit(l.CustomerID) {
		reasons = append(reasons, Reason{
			Code: ReasonCustomerLimit, Message: fmt.Sprintf("customer at its limit of %d running workloads", e.entitlements[l.CustomerID].MaxConcurrent),
		})
	}
	if !e.offers[l.Type] {
		reasons = append(reasons, NotOffered(l.Type))
	}
	return append(reasons, e.find(l).reasons...)
}

// ExplainWorkload is Explain for one workload of the lane: it also tells of the workers that declined it.
func (e *Explainer) ExplainWorkload(l *domain.Lane, c *domain.Candidate) []Reason {
	reasons := e.Explain(l)
	if len(c.Declines) == 0 && c.SuspectSince.IsZero() {
		return reasons
	}
	limit := len(reasons) - len(e.find(l).reasons)
	own, _, _ := e.fleet.explain(l, c)
	return append(reasons[:limit:limit], own...)
}

// Entitlements returns what a customer is entitled to; known tells whether the explainer knows it.
func (e *Explainer) Entitlements(id domain.CustomerID) (entitlements domain.Entitlements, known bool) {
	entitlements, known = e.entitlements[id]
	return entitlements, known
}

// Learn adds the entitlements of a customer that is not in the snapshot.
func (e *Explainer) Learn(id domain.CustomerID, entitlements domain.Entitlements) {
	e.entitlements[id] = entitlements
}

// Offered returns the types that these workers offer, draining ones included, dead ones not.
func Offered(workers []domain.Worker) map[string]bool {
	types := map[string]bool{}
	for i := range workers {
		if workers[i].Live() {
			for _, t := range workers[i].Capabilities {
				types[t] = true
			}
		}
	}
	return types
}

// NotOffered is the reason of a workload that needs a capability which nobody offers, its type or its program: it waits until
// a worker comes that does.
func NotOffered(capability string) Reason {
	format := "no worker offers type %q yet"
	program, ok := domain.ProgramOf(capability)
	if ok {
		capability, format = program, "no worker may start program %q yet"
	}
	return Reason{Code: ReasonNotOffered, Message: fmt.Sprintf(format, capability)}
}

// AtLimit reports whether a customer runs as much as it may.
func (e *Explainer) AtLimit(id domain.CustomerID) bool {
	entitlements, known := e.entitlements[id]
	return known && e.running[id] >= entitlements.MaxConcurrent
}

// Placeable reports whether some healthy worker could run the lane's workloads if it were empty.
func (e *Explainer) Placeable(l *domain.Lane) bool { return e.find(l).placeable }

// Room is how many slots are free now on workers that could take a workload of the lane; for workloads that need more than a slot, at most.
func (e *Explainer) Room(l *domain.Lane) int { return e.find(l).room }

// Slots is how many slots there are on workers that could run a workload of the lane, free or not.
func (e *Explainer) Slots(l *domain.Lane) int { return e.find(l).slots }

func (f *fleet) slots(l *domain.Lane) (n int) {
	for _, w := range f.workers {
		if _, could := w.obstacle(l); could {
			n += w.Slots
		}
	}
	return n
}

// explain counts what the workers lack for a lane, or for one workload of it.
func (f *fleet) explain(l *domain.Lane, c *domain.Candidate) (reasons []Reason, placeable bool, room int) {
	counts := map[Reason]int{}
	for _, w := range f.workers {
		r, could := w.obstacle(l)
		placeable = placeable || could
		if c != nil && r.Code == ReasonNext && c.Declined(w.ID, f.now) {
			r = Reason{Code: ReasonDeclined, Message: "%s that declined it a moment ago"}
		}
		if c != nil && r.Code == ReasonNext && w.suspects > 0 && domain.AvoidsSuspects(c.SuspectSince, f.now) {
			r = Reason{Code: ReasonSuspects, Message: "%s running another workload under which workers died; it waits up to a minute for one of its own"}
		}
		counts[r]++
		if r.Code == ReasonNext {
			room += w.Slots - w.used
		}
	}
	if f.draining > 0 {
		counts[Reason{Code: ReasonDraining, Message: "%s draining"}] = f.draining
	}
	if len(counts) == 0 {
		return []Reason{{Code: ReasonNoWorker, Message: "no worker is registered"}}, false, 0
	}
	for r, n := range counts {
		who := fmt.Sprintf("%d workers", n)
		if n == 1 {
			who = "1 worker"
		}
		reasons = append(reasons, Reason{r.Code, n, strings.Replace(r.Message, "%s", who, 1)})
	}
	slices.SortFunc(reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Workers, a.Workers), cmp.Compare(a.Message, b.Message))
	})
	return reasons, placeable, room
}

// obstacle is the first thing that keeps the lane from the worker, with "%s" for how many workers; could tells whether it would fit were
// the worker empty.
func (w *slotWorker) obstacle(l *domain.Lane) (r Reason, could bool) {
	hard, anti := l.Affinity.Hard, l.Affinity.Anti
	switch {
	case !slices.Contains(w.Capabilities, l.Type):
		return Reason{Code: ReasonMissingType, Message: fmt.Sprintf("%%s not offering type %q", l.Type)}, false
	case hard.WorkerID != "" && hard.WorkerID != w.ID:
		return Reason{Code: ReasonOtherWorker, Message: fmt.Sprintf("%%s other than %q", hard.WorkerID)}, false
	case !w.HasTags(hard.WorkerTags):
		return Reason{Code: ReasonMissingTag, Message: "%s without tag " + missingTags(w.Worker, hard.WorkerTags)}, false
	case !l.Affinity.Admits(w.Worker):
		if anti.WorkerID == w.ID || len(anti.WorkerTags) > 0 && w.HasTags(anti.WorkerTags) {
			return Reason{Code: ReasonExcluded, Message: "%s excluded by anti affinity"}, false
		}
		return Reason{Code: ReasonMissingTypes, Message: "%s not offering " + strings.Join(hard.WorkloadTypes, ", ")}, false
	case !w.Resources.Fits(domain.Resources{}, l.Resources):
		return Reason{Code: ReasonTooSmall, Message: "%s too small for its resource limits"}, false
	case w.used >= w.Slots && w.used-w.ending < w.Slots:
		return Reason{Code: ReasonEnding, Message: "%s with a slot kept by a run that refuses to end"}, true
	case w.used >= w.Slots:
		return Reason{Code: ReasonFull, Message: "%s full"}, true
	case w.repels(l) || w.holdsAny(anti.WorkloadTypes):
		return Reason{Code: ReasonConflict, Message: "%s running what must not run beside it"}, true
	case !w.Resources.Fits(w.resources, l.Resources):
		return Reason{Code: ReasonResources, Message: "%s with free slots but too little CPU, memory or disk left"}, true
	}
	return Reason{Code: ReasonNext, Message: "%s able to take it now"}, true
}

func missingTags(w *domain.Worker, tags map[string]string) string {
	var missing []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		if got, ok := w.Tags[k]; !ok || got != tags[k] {
			missing = append(missing, k+"="+tags[k])
		}
	}
	return strings.Join(missing, ", ")
}

// Unplaceable says why no worker could run a lane's workloads, however empty, in words that do not change with the number of workers;
// empty if some could.
func (e *Explainer) Unplaceable(l *domain.Lane) string {
	if f := e.find(l); !f.placeable {
		return inWords(l, f.reasons)
	}
	return ""
}

func inWords(l *domain.Lane, reasons []Reason) string {
	var words []string
	for _, r := range reasons {
		word := standing[r.Code]
		if program := program(l); r.Code == ReasonMissingTypes && program != "" {
			word = "none offers " + program
		}
		words = append(words, word)
	}
	slices.Sort(words)
	return "no worker can run it: " + strings.Join(slices.Compact(words), "; ")
}

// standing are the reasons that last until another worker comes.
var standing = map[ReasonCode]string{
	ReasonNoWorker: "none is registered",
	ReasonDraining: "some are draining", ReasonMissingType: "its type is not offered", ReasonOtherWorker: "the worker it must run on is not there",
	ReasonMissingTag: "none has the tags it must have", ReasonMissingTypes: "none offers the types it must", ReasonExcluded: "anti affinity excludes them",
	ReasonTooSmall: "its resource limits are larger than any",
}

// NotYet is the reason of a workload that may not be placed before a time: which retry it waits for, or its run_at.
func NotYet(w *domain.Workload) Reason {
	until := "not before " + w.NotBefore.UTC().Format(time.RFC3339)
	failed := w.EndedEvent == domain.EventFail || w.EndedEvent == domain.EventTimeout
	if !failed || w.Failure == nil {
		return Reason{Code: ReasonNotBefore, Message: until}
	}
	return Reason{Code: ReasonRetry, Message: fmt.Sprintf("retry %d of %d after failure %q, %s", w.RetryCount, w.Run.MaxRetries, w.Failure.Type, until)}
}

// program is the capability of a program that the lane needs; empty: none.
func program(l *domain.Lane) string {
	for _, t := range l.Affinity.Hard.WorkloadTypes {
		if !domain.IsType(t) {
			return t
		}
	}
	return ""
}
