package http

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/controlplane"
)

// opt returns nil for the zero value.
func opt[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// deref returns the zero value for nil.
func deref[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

// not negates what is set.
func not(b *bool) *bool {
	if b == nil {
		return nil
	}
	negated := !*b
	return &negated
}

func at(t time.Time) gen.Time { return gen.Time{Time: t} }

func optTime(t time.Time) *gen.Time {
	if t.IsZero() {
		return nil
	}
	return &gen.Time{Time: t}
}

func raw(j domain.JSON) json.RawMessage {
	if j == "" {
		return json.RawMessage("null")
	}
	return json.RawMessage(j)
}

func emptyIfNil[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return m
}

func emptyIfNone[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func id(s string, prefix string) string {
	if folded, ok := domain.ParseID(prefix, s); ok {
		return folded
	}
	return s
}

func affinityIn(a *gen.AffinityRules) domain.Affinity {
	if a == nil {
		return domain.Affinity{}
	}
	return domain.Affinity{Hard: termsIn(a.Hard), Soft: termsIn(a.Soft), Anti: termsIn(a.Anti)}
}

func termsIn(t *gen.AffinityTerms) domain.AffinityTerms {
	if t == nil {
		return domain.AffinityTerms{}
	}
	return domain.AffinityTerms{
		WorkerID: domain.WorkerID(deref(t.WorkerID)), WorkerTags: deref(t.WorkerTags), WorkloadTypes: deref(t.WorkloadTypes),
	}
}

func affinityOut(a domain.Affinity) gen.AffinityRules {
	return gen.AffinityRules{Hard: termsOut(a.Hard), Soft: termsOut(a.Soft), Anti: termsOut(a.Anti)}
}

func termsOut(t domain.AffinityTerms) *gen.AffinityTerms {
	if t.IsZero() {
		return nil
	}
	out := &gen.AffinityTerms{WorkerID: opt(string(t.WorkerID))}
	if len(t.WorkerTags) > 0 {
		out.WorkerTags = &t.WorkerTags
	}
	if len(t.WorkloadTypes) > 0 {
		out.WorkloadTypes = &t.WorkloadTypes
	}
	return out
}

// workloadOut shows a workload; viewers get no payloads.
func workloadOut(w *domain.Workload, role domain.Role) gen.Workload {
	out := gen.Workload{
		WorkloadID: string(w.ID), CustomerID: string(w.CustomerID), WorkloadType: w.Type,
		Status: gen.Status(w.Status), StatusReason: opt(w.Reason), Priority: w.Priority,
		Labels: emptyIfNil(w.Labels), AffinityRules: affinityOut(w.Affinity), Generation: w.Generation,
		WorkerID: opt(string(w.WorkerID)), ProgressPercent: w.ProgressPercent, ProgressMessage: opt(w.ProgressMessage),
		CheckpointSequence: w.CheckpointSequence, RetryCount: w.RetryCount, MaxRetries: w.Run.MaxRetries, RedistributionCount: w.RedistributionCount,
		InputParams: raw(w.Input), ResultData: raw(w.Result),
		CreatedAt: at(w.CreatedAt), RunAt: optTime(w.RunAt), ScheduledAt: optTime(w.ScheduledAt),
		StartedAt: optTime(w.StartedAt), CompletedAt: optTime(w.FinishedAt), UpdatedAt: at(w.UpdatedAt),
		EstimatedCompletionTime: optTime(estimatedCompletion(w)),
	}
	if w.Failure != nil {
		out.ErrorType, out.ErrorMessage = &w.Failure.Type, &w.Failure.Message
	}
	if role == domain.RoleViewer {
		maskWorkload(&out)
	}
	return out
}

// estimatedCompletion extrapolates from the progress of the current run; zero while there is nothing to go by.
func estimatedCompletion(w *domain.Workload) time.Time {
	took := w.UpdatedAt.Sub(w.StartedAt)
	if w.Status != domain.StatusRunning || w.ProgressPercent < 1 || w.ProgressPercent >= 100 || took <= 0 {
		return time.Time{}
	}
	return w.StartedAt.Add(time.Duration(float64(took) * 100 / w.ProgressPercent))
}

func steerOut(w *domain.Workload) gen.SteerAnswer {
	return gen.SteerAnswer{
		WorkloadID: string(w.ID), Status: gen.Status(w.Status), CheckpointSequence: w.CheckpointSequence,
	}
}

func auditOut(e *domain.AuditEvent, role domain.Role) gen.AuditEvent {
	out := gen.AuditEvent{
		EventID: e.ID, EventType: string(e.Type), WorkloadID: string(e.WorkloadID),
		ActorType: gen.AuditEventActorType(e.Actor.Kind), ActorID: e.Actor.ID, CreatedAt: at(e.At),
	}
	out.Details.From = opt(gen.Status(e.From))
	out.Details.To = gen.Status(e.To)
	out.Details.Generation = e.Generation
	out.Details.WorkerID = opt(string(e.WorkerID))
	out.Details.CheckpointSequence = opt(e.CheckpointSequence)
	out.Details.Reason = opt(e.Reason)
	if role == domain.RoleViewer && e.Actor.Kind == domain.ActorWorker {
		maskText(out.Details.Reason) // what a worker gives as a reason may be the workload's own words
	}
	return out
}

func logLineOut(l *domain.LogLine, role domain.Role) gen.LogLine {
	out := gen.LogLine{Seq: l.Seq, Time: at(l.At), Level: l.Level, Stream: opt(l.Stream), Message: l.Message, Generation: l.Generation}
	if role == domain.RoleViewer {
		maskText(&out.Message)
	}
	return out
}

func checkpointOut(c *domain.Checkpoint) gen.Checkpoint {
	return gen.Checkpoint{
		Sequence: c.Sequence, Generation: c.Generation, SizeBytes: c.Size,
		Checksum: hex.EncodeToString(c.Checksum[:]), CreatedAt: at(c.CreatedAt),
	}
}

func resourcesOut(r domain.Resources) gen.Resources {
	return gen.Resources{CPUCores: &r.CPUCores, MemoryMb: &r.MemoryMB, DiskMb: &r.DiskMB}
}

func limitsOut(l domain.Limits) gen.Limits {
	return gen.Limits{
		MaxConcurrentWorkloads: l.MaxConcurrent, MaxQueueDepth: l.MaxQueueDepth,
		RateLimitPerSec: l.RatePerSec, Burst: l.Burst,
	}
}

func limitsIn(l *gen.LimitsInput) domain.Limits {
	if l == nil {
		return domain.Limits{}
	}
	return domain.Limits{
		MaxConcurrent: deref(l.MaxConcurrentWorkloads), MaxQueueDepth: deref(l.MaxQueueDepth),
		RatePerSec: deref(l.RateLimitPerSec), Burst: deref(l.Burst),
	}
}

func customerOut(c *domain.Customer) gen.Customer {
	return gen.Customer{
		CustomerID: string(c.ID), Name: c.Name, Tier: gen.Tier(c.Tier), Limits: limitsOut(c.Limits()), Preemptible: !c.NoPreemption,
		CreatedAt: at(c.CreatedAt),
	}
}

func usageOut(c *domain.Customer, u domain.Usage) gen.CustomerUsage {
	out := gen.CustomerUsage{
		CustomerID: string(c.ID), Name: c.Name, Tier: gen.Tier(c.Tier), Limits: limitsOut(c.Limits()), Preemptible: !c.NoPreemption,
		CreatedAt: at(c.CreatedAt),
	}
	out.Usage.RunningWorkloads, out.Usage.QueuedWorkloads, out.Usage.PausedWorkloads = u.Running, u.Queued, u.Paused
	return out
}

func configOut(c *domain.WorkloadConfig, role domain.Role) gen.WorkloadConfig {
	out := gen.WorkloadConfig{
		ConfigID: string(c.ID), CustomerID: string(c.CustomerID), WorkloadType: c.Type, Description: c.Description,
		ConfigJSON: raw(c.Config), ResourceLimits: resourcesOut(c.Resources),
		CheckpointIntervalSec: int(c.CheckpointInterval / time.Second), MaxRetries: c.MaxRetries,
		RetryBackoff:   backoffOut(c.Backoff),
		TimeoutSeconds: int(c.Timeout / time.Second), CreatedAt: at(c.CreatedAt), UpdatedAt: at(c.UpdatedAt),
	}
	if c.Config == "" {
		out.ConfigJSON = json.RawMessage("{}")
	}
	if role == domain.RoleViewer {
		out.ConfigJSON = raw("")
	}
	return out
}

func configIn(customer domain.CustomerID, in *gen.WorkloadConfigInput) domain.WorkloadConfig {
	c := domain.WorkloadConfig{
		CustomerID: customer, Type: in.WorkloadType, Description: deref(in.Description), RunConfig: domain.DefaultRunConfig(),
	}
	if in.ConfigJSON != nil {
		c.Config = domain.JSON(*in.ConfigJSON)
	}
	if r := in.ResourceLimits; r != nil {
		c.Resources = overlay(c.Resources, r)
	}
	if in.CheckpointIntervalSec != nil {
		c.CheckpointInterval = time.Duration(*in.CheckpointIntervalSec) * time.Second
	}
	if in.MaxRetries != nil {
		c.MaxRetries = *in.MaxRetries
	}
	if in.TimeoutSeconds != nil {
		c.Timeout = time.Duration(*in.TimeoutSeconds) * time.Second
	}
	c.Backoff = backoffIn(c.Backoff, in.RetryBackoff)
	return c
}

// backoffIn lays what is stated over a backoff. The longest wait is never below the first, unless both are stated so.
func backoffIn(b domain.RetryBackoff, in *gen.RetryBackoff) domain.RetryBackoff {
	if in == nil {
		return b
	}
	if in.InitialSeconds != nil {
		b.Initial = seconds(*in.InitialSeconds)
		b.Max = max(b.Max, b.Initial)
	}
	if in.Factor != nil {
		b.Factor = *in.Factor
	}
	if in.MaxSeconds != nil {
		b.Max = seconds(*in.MaxSeconds)
	}
	return b
}

func backoffOut(b domain.RetryBackoff) gen.RetryBackoff {
	return gen.RetryBackoff{InitialSeconds: new(b.Initial.Seconds()), Factor: &b.Factor, MaxSeconds: new(b.Max.Seconds())}
}

// seconds is a number of seconds in whole microseconds.
func seconds(s float64) time.Duration { return time.Duration(math.Round(s*1e6)) * time.Microsecond }

func overlay(base domain.Resources, r *gen.Resources) domain.Resources {
	if r.CPUCores != nil {
		base.CPUCores = *r.CPUCores
	}
	if r.MemoryMb != nil {
		base.MemoryMB = *r.MemoryMb
	}
	if r.DiskMb != nil {
		base.DiskMB = *r.DiskMb
	}
	return base
}

func workerOut(v *controlplane.WorkerView) gen.Worker {
	out := gen.Worker{
		WorkerID: string(v.ID), SessionID: string(v.SessionID), Status: gen.WorkerStatus(v.Status),
		Capabilities: emptyIfNone(v.Capabilities), Slots: v.Slots, SlotsInUse: len(v.Held) + len(v.Ending),
		Resources: resourcesOut(v.Resources), Tags: emptyIfNil(v.Tags), Version: v.Version,
		RegisteredAt: at(v.RegisteredAt), LastHeartbeatAt: at(v.HeartbeatAt), LeaseUntil: at(v.LeaseUntil),
	}
	out.Workloads = make([]struct {
		CustomerID string     `json:"customer_id"`
		Generation int64      `json:"generation"`
		Status     gen.Status `json:"status"`
		WorkloadID string     `json:"workload_id"`
	}, len(v.Held))
	for i, h := range v.Held {
		w := &out.Workloads[i]
		w.WorkloadID, w.CustomerID = string(h.WorkloadID), string(h.CustomerID)
		w.Generation, w.Status = h.Generation, gen.Status(h.Status)
	}
	out.EndingRuns = make([]struct {
		CustomerID       string  `json:"customer_id"`
		EndingForSeconds float64 `json:"ending_for_seconds"`
		Generation       int64   `json:"generation"`
		WorkloadID       string  `json:"workload_id"`
	}, len(v.Ending))
	for i, h := range v.Ending {
		e := &out.EndingRuns[i]
		e.WorkloadID, e.CustomerID = string(h.WorkloadID), string(h.CustomerID)
		e.Generation, e.EndingForSeconds = h.Generation, h.EndingFor.Seconds()
	}
	return out
}

func mapSlice[In, Out any](in []In, f func(*In) Out) []Out {
	out := make([]Out, len(in))
	for i := range in {
		out[i] = f(&in[i])
	}
	return out
}
