package placement

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// ReasonCode classifies why a workload waits.
type ReasonCode string

// The codes of reasons about the workload or its customer.
const (
	ReasonNotBefore     ReasonCode = "not_before"         // its run_at, or the pause after a decline, is in the future
	ReasonRetry         ReasonCode = "retry_backoff"      // the backoff before its retry has not passed
	ReasonCustomerLimit ReasonCode = "customer_limit"     // its customer runs as many workloads as it may
	ReasonSuspended     ReasonCode = "customer_suspended" // its customer is suspended
	ReasonNotOffered    ReasonCode = "type_not_offered"   // no registered worker offers its type
	ReasonNoWorker      ReasonCode = "no_worker"          // no worker is registered
)

// The codes of reasons about workers. Each worker counts under the first that applies.
const (
	ReasonDraining     ReasonCode = "worker_draining"
	ReasonMissingType  ReasonCode = "missing_type"
	ReasonOtherWorker  ReasonCode = "other_worker_id"
	ReasonMissingTag   ReasonCode = "missing_tag"
	ReasonMissingTypes ReasonCode = "missing_workload_types"
	ReasonExcluded     ReasonCode = "excluded"
	ReasonTooSmall     ReasonCode = "too_small"
	ReasonEnding       ReasonCode = "run_ending" // full, and one of its runs has ended but does not return
	ReasonFull         ReasonCode = "full"
	ReasonConflict     ReasonCode = "conflict" // it runs what anti rules keep apart from the workload
	ReasonResources    ReasonCode = "resources_taken"
	ReasonReserved     ReasonCode = "reserved" // what it needs is reserved for a workload that waits longer
	ReasonDeclined     ReasonCode = "declined" // it declined the workload a moment ago
	ReasonSuspects     ReasonCode = "suspects" // the workload is a suspect, and the worker runs another one
	ReasonNext         ReasonCode = "next"     // it could take the workload now: only others are before it
)

// Reason is one reason why a workload waits. Its message has the same words wherever it is shown.
type Reason struct {
	Code ReasonCode
	// Workers is the number of workers that the reason applies to. 0: it is about the workload or
	// its customer.
	Workers int
	Message string
	// WorkerIDs names workers that the reason applies to, in order, at most namedWorkers of them.
	WorkerIDs []domain.WorkerID
}

// namedWorkers is how many workers a reason names.
const namedWorkers = 10

// obstacle is what keeps work off a worker. The message has "%s" in the place of the number of
// workers.
type obstacle struct {
	code    ReasonCode
	message string
}

// reason returns the reason that these workers, at least one, have the obstacle.
func (o obstacle) reason(workers []domain.WorkerID) Reason {
	count := "1 worker"
	if len(workers) > 1 {
		count = fmt.Sprintf("%d workers", len(workers))
	}
	slices.Sort(workers)
	return Reason{
		Code: o.code, Workers: len(workers), Message: strings.Replace(o.message, "%s", count, 1),
		WorkerIDs: workers[:min(len(workers), namedWorkers)],
	}
}

// NotOffered returns the reason of a workload that needs a capability, its type or its program,
// which no worker offers. It waits until a worker with that capability registers.
func NotOffered(capability string) Reason {
	format := "no worker offers type %q yet"
	program, ok := domain.ProgramOf(capability)
	if ok {
		capability, format = program, "no worker may start program %q yet"
	}
	return Reason{Code: ReasonNotOffered, Message: fmt.Sprintf(format, capability)}
}

// NotYet returns the reason of a workload that may not be placed before NotBefore: it waits for its
// run_at or for the backoff of a retry.
func NotYet(w *domain.Workload) Reason {
	until := "not before " + w.NotBefore.UTC().Format(time.RFC3339)
	failed := w.EndedEvent == domain.EventFail || w.EndedEvent == domain.EventTimeout
	if !failed || w.Failure == nil {
		return Reason{Code: ReasonNotBefore, Message: until}
	}
	message := fmt.Sprintf("retry %d of %d after failure %q, %s", w.RetryCount, w.Run.MaxRetries, w.Failure.Type, until)
	return Reason{Code: ReasonRetry, Message: message}
}

// able is the obstacle of a worker that has none.
var able = obstacle{ReasonNext, "%s able to take it now"}

// obstacle returns the first obstacle that keeps the lane's workloads off the worker, able if there
// is none. couldRun reports whether the worker could run them if it were empty.
func (w *fleetWorker) obstacle(l *domain.Lane) (o obstacle, couldRun bool) {
	hard, anti := l.Affinity.Hard, l.Affinity.Anti
	switch {
	case !slices.Contains(w.Capabilities, l.Type):
		return obstacle{ReasonMissingType, fmt.Sprintf("%%s not offering type %q", l.Type)}, false
	case hard.WorkerID != "" && hard.WorkerID != w.ID:
		return obstacle{ReasonOtherWorker, fmt.Sprintf("%%s other than %q", hard.WorkerID)}, false
	case !w.HasTags(hard.WorkerTags):
		return obstacle{ReasonMissingTag, "%s without tag " + missingTags(w.Worker, hard.WorkerTags)}, false
	case !l.Affinity.Admits(w.Worker):
		if anti.WorkerID == w.ID || len(anti.WorkerTags) > 0 && w.HasTags(anti.WorkerTags) {
			return obstacle{ReasonExcluded, "%s excluded by anti affinity"}, false
		}
		return obstacle{ReasonMissingTypes, "%s not offering " + strings.Join(hard.WorkloadTypes, ", ")}, false
	case w.tooSmall(l) != "":
		return obstacle{ReasonTooSmall, "%s too small: not enough " + w.tooSmall(l) + " even if empty"}, false
	case w.used >= w.Slots && w.used-w.ending < w.Slots:
		return obstacle{ReasonEnding, "%s with a slot kept by a run that refuses to end"}, true
	case w.used >= w.Slots:
		return obstacle{ReasonFull, "%s full"}, true
	case w.repels(l) || w.holdsAny(anti.WorkloadTypes):
		return obstacle{ReasonConflict, "%s running what must not run beside it"}, true
	case !w.holding.Fits(&l.Resources):
		message := "%s with free slots but not enough " + w.holding.Short(&l.Resources) + " left (enough when empty)"
		return obstacle{ReasonResources, message}, true
	}
	if w.open(l, time.Time{}) == w.kept && !w.kept.Fits(&l.Resources) {
		return obstacle{ReasonReserved, "%s with devices reserved for a workload that waits longer"}, true
	}
	return able, true
}

// tooSmall returns the first resource of which the worker has too little for the lane's workloads
// even if it is empty. It is empty if there is none.
func (w *fleetWorker) tooSmall(l *domain.Lane) string {
	empty := domain.NewHolding(&w.Resources)
	return empty.Short(&l.Resources)
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

// lasting are the words for the reasons that last until another worker registers.
var lasting = map[ReasonCode]string{
	ReasonNoWorker:     "none is registered",
	ReasonDraining:     "some are draining",
	ReasonMissingType:  "its type is not offered",
	ReasonOtherWorker:  "the worker it must run on is not there",
	ReasonMissingTag:   "none has the tags it must have",
	ReasonMissingTypes: "none offers the types it must",
	ReasonExcluded:     "anti affinity excludes them",
	ReasonTooSmall:     "its resources are more than any has",
}

// unplaceable says in one sentence, without counts, why no worker can run the lane's workloads.
func unplaceable(l *domain.Lane, reasons []Reason) string {
	var words []string
	for _, r := range reasons {
		word := lasting[r.Code]
		if program := program(l); r.Code == ReasonMissingTypes && program != "" {
			word = "none offers " + program
		}
		words = append(words, word)
	}
	slices.Sort(words)
	return "no worker can run it: " + strings.Join(slices.Compact(words), "; ")
}

// program returns the capability of the program that the lane needs, empty if it needs none.
func program(l *domain.Lane) string {
	for _, t := range l.Affinity.Hard.WorkloadTypes {
		if !domain.IsType(t) {
			return t
		}
	}
	return ""
}
