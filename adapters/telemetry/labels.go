package telemetry

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// other is the value of a label for whatever has no series of its own.
const other = "other"

const (
	// seriesLimit bounds the routes, the names of rare events and the resources that have series of
	// their own.
	seriesLimit = 200
	// typesLimit bounds the workload types that do.
	typesLimit = 50
)

// Labels of lanes that a cycle did not consider: no worker admits them, or their customer has more
// lanes than are considered.
const (
	laneAside = "set_aside"
	laneCut   = "beyond_bound"
)

// The values that labels may have. What a client chooses (a method, a type, a name) becomes the
// value of a label only if it is in one of these sets, so that clients cannot make series.
var (
	methods = setOf(http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace)
	tierNames = setOf(domain.Tiers()...)

	submitNames = map[domain.Admission]string{
		domain.Admitted: "accepted", domain.AdmittedBefore: "duplicate", domain.AdmissionConflict: "conflict",
		domain.AdmissionQueueFull: "queue_full", domain.AdmissionNoCustomer: "no_customer",
		domain.AdmissionSuspended: "suspended", domain.AdmissionNoCheckpoint: "no_checkpoint",
		domain.AdmissionRefused: "refused",
	}
	outcomes = []domain.Outcome{
		domain.OutcomeApplied, domain.OutcomeAlready, domain.OutcomeFenced,
		domain.OutcomeIllegal, domain.OutcomeNotFound, domain.OutcomeRefused,
	}
	// ends are the events that end a run that has started.
	ends = map[domain.Event]string{
		domain.EventComplete: "completed", domain.EventFail: "failed", domain.EventTimeout: "timed_out",
		domain.EventCancel: "cancelled", domain.EventPaused: "paused", domain.EventRelease: "released",
		domain.EventLose: "lost",
	}
	finals = map[domain.Status]string{
		domain.StatusCompleted: "completed", domain.StatusFailed: "failed", domain.StatusCancelled: "cancelled",
	}
	retryReasons = []string{domain.FailureError, domain.FailureTimeout, other}
	losses       = map[domain.Loss]string{
		domain.LossExpired: "lease_expired", domain.LossReplaced: "worker_restarted", domain.LossDied: "worker_died",
		domain.LossRemoved: "worker_removed", domain.LossMissing: "run_missing", domain.LossLeft: "worker_left",
	}
	// rareEvents are the names of rare events. Their series begin at 0, so that an alert on the increase
	// of one also sees the first time that it happens.
	rareEvents = []string{
		"archive_workloads_written", "archive_write_failed", "bus_message_bad", "bus_message_unknown",
		"bus_publish_failed", "certificate_refused", "checkpoint_damaged", "checkpoint_storage_failed",
		"checkpoint_values_deleted", "encryption_refused", "hint_dropped", "http_panic", "rate_limiter_failed",
		"redistribution_failed", "report_invalid", "run_stuck", "stream_not_subscribed", "stream_read_failed",
		"streams_dropped", "transition_failed", "worker_died", "worker_expired", "worker_id_contended", "worker_left",
	}
	checkpointResults = []string{"saved", "repeated", "fenced", "refused", "failed"}
	workerStatuses    = []domain.WorkerStatus{domain.WorkerHealthy, domain.WorkerDraining, domain.WorkerDead}
)

// Reasons of redistributions that are no losses.
const (
	reasonDrained   = "drained"
	reasonPreempted = "preempted"
)

func submitResults() string {
	return strings.Join(slices.Sorted(maps.Values(submitNames)), ", ") + ", " + other
}

func executionResults() string { return strings.Join(slices.Sorted(maps.Values(ends)), ", ") }

func redistributionReasons() string {
	return strings.Join(append(slices.Sorted(maps.Values(losses)), reasonDrained, reasonPreempted), ", ")
}

func eventNames() string {
	var all []domain.Event
	for _, r := range domain.Rules() {
		all = append(all, r.Event)
	}
	return names(all...)
}

// checkpointResult returns the label of an attempt to save a checkpoint.
func checkpointResult(c ports.CheckpointAttempt) string {
	switch c.Result.Outcome {
	case domain.OutcomeApplied:
		return "saved"
	case domain.OutcomeAlready:
		return "repeated"
	case domain.OutcomeFenced, domain.OutcomeNotFound:
		return "fenced"
	case domain.OutcomeIllegal, domain.OutcomeRefused:
		return "refused"
	}
	if domain.IsCode(c.Err, domain.CodeTooLarge) || domain.IsCode(c.Err, domain.CodeInvalidInput) {
		return "refused"
	}
	return "failed"
}

// retryReason returns the label of a failure. A workload may name the types of its failures as it
// likes, so only those of the platform have a series.
func retryReason(e domain.Event, f *domain.Failure) string {
	if e == domain.EventTimeout {
		return domain.FailureTimeout
	}
	if f != nil && slices.Contains(retryReasons, f.Type) {
		return f.Type
	}
	return other
}

// redistributionReason returns why a transition gave a workload to another worker. It is empty if
// the transition does not say.
func redistributionReason(t *domain.Transition) string {
	switch {
	case t.Event == domain.EventLose:
		return losses[t.Loss]
	case t.Event == domain.EventRelease && t.RetryAfter != nil:
		return reasonPreempted
	case t.Event == domain.EventRelease:
		return reasonDrained
	}
	return ""
}

func setOf[T ~string](values ...T) map[string]bool {
	set := make(map[string]bool, len(values))
	for _, v := range values {
		set[string(v)] = true
	}
	return set
}

// within returns value if it is in the set, otherwise other.
func within(set map[string]bool, value string) string {
	if set[value] {
		return value
	}
	return other
}

// statusClass returns the class of an HTTP status, "2xx" for 200.
func statusClass(status int) string {
	if status < 100 || status > 599 {
		return other
	}
	return strconv.Itoa(status/100) + "xx"
}

// firstFew bounds a label whose values are not listed here, as routes, names of rare events and
// types that workers offer. The first values have series of their own; those beyond the limit are
// other. Safe for concurrent use.
type firstFew struct {
	limit int
	mu    sync.RWMutex
	seen  map[string]bool
}

func (f *firstFew) value(v string) string {
	f.mu.RLock()
	known, full := f.seen[v], len(f.seen) >= f.limit
	f.mu.RUnlock()
	switch {
	case known:
		return v
	case full:
		return other
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seen) >= f.limit && !f.seen[v] {
		return other
	}
	if f.seen == nil {
		f.seen = map[string]bool{}
	}
	f.seen[v] = true
	return v
}
