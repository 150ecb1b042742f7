package lifecycle

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/batching"
	"github.com/niyanta/niyanta/core/services/transitions"
)

// Config holds what an operator sets.
type Config struct {
	// PauseWait is how long Pause waits for the worker's confirmation. 0 means DefaultPauseWait.
	PauseWait time.Duration
	// RequireKnownTypes refuses types that the customer has no config for and that no live worker
	// offers.
	RequireKnownTypes bool
	// KeepArchive is how long a workload is found in the archive; 0 means for ever.
	KeepArchive time.Duration
}

// Deps are the dependencies of the service.
type Deps struct {
	Workloads   ports.WorkloadStore
	Customers   ports.CustomerStore
	Configs     ports.ConfigStore
	Workers     ports.WorkerStore
	Insight     ports.InsightStore
	Checkpoints ports.CheckpointStore
	Logs        ports.LogStore
	Audit       ports.AuditStore
	Answers     ports.AnswerStore
	Retention   ports.RetentionStore
	Applier     *transitions.Applier
	Notifier    ports.Notifier
	Listener    ports.Listener
	Observer    ports.Observer
	Clock       ports.Clock
	IDs         ports.IDs
}

// Service is the lifecycle service. Safe for concurrent use.
type Service struct {
	cfg        Config
	deps       Deps
	settings   *batching.Committer[domain.ConfigKey, setting]
	submits    *batching.Committer[domain.Submission, ports.SubmitResult]
	throughput *batching.Committer[struct{}, domain.Throughput]
	types      knownTypes
}

// DefaultPauseWait is how long Pause waits before it returns unconfirmed.
const DefaultPauseWait = 10 * time.Second

// submitBatch is the limit of submissions in one commit.
const submitBatch = 1000

// submitBytes is the limit of their inputs and configs: each may have a MiB, and what one customer
// submits must not take the time of the others that share the commit.
const submitBytes = 16 << 20

// New returns the service.
func New(cfg Config, deps Deps) *Service {
	cfg.PauseWait = cmp.Or(cfg.PauseWait, DefaultPauseWait)
	cfg.KeepArchive = cmp.Or(cfg.KeepArchive, math.MaxInt64)
	s := &Service{cfg: cfg, deps: deps}
	s.settings = batching.NewCommitter(submitBatch, s.readSettings)
	s.submits = batching.NewCommitter(submitBatch, deps.Workloads.Submit).Weigh(submitBytes,
		func(sub *domain.Submission) int { return len(sub.Input) + len(sub.Run.Config) })
	s.throughput = batching.NewCommitter(submitBatch, s.readThroughput)
	return s
}

// Get returns a customer's workload, also from the archive. CodeNotFound if there is none, or if it
// belongs to another customer.
func (s *Service) Get(ctx context.Context, customer domain.CustomerID, id domain.WorkloadID) (domain.Workload, error) {
	found, err := s.Find(ctx, customer, id)
	if err != nil {
		return domain.Workload{}, err
	}
	if len(found) == 0 {
		return domain.Workload{}, domain.NotFound("workload")
	}
	return found[0], nil
}

// Find returns the customer's workloads with these ids, also from the archive, in no particular
// order. It leaves out those that do not exist or are another customer's.
func (s *Service) Find(
	ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID,
) ([]domain.Workload, error) {
	found, err := s.deps.Workloads.Get(ctx, customer, ids...)
	if err != nil {
		return nil, err
	}
	stored := idsOf(found)
	missing := slices.DeleteFunc(slices.Clone(ids), func(id domain.WorkloadID) bool {
		return slices.Contains(stored, id)
	})
	if len(missing) == 0 {
		return found, nil
	}
	archived, err := s.deps.Retention.Archived(ctx, customer, s.cfg.KeepArchive, missing...)
	return append(found, archived...), err
}

// Owner returns the customer of a workload. It is for administrators, who act for customers.
// CodeNotFound.
func (s *Service) Owner(ctx context.Context, id domain.WorkloadID) (domain.CustomerID, error) {
	owners, err := s.deps.Retention.Owners(ctx, s.cfg.KeepArchive, id)
	if err != nil {
		return "", err
	}
	if owner, ok := owners[id]; ok {
		return owner, nil
	}
	return "", domain.NotFound("workload")
}

// ByOwner returns the ids by the customer of the workload; those of missing ones under the empty
// customer, which owns nothing. It is for administrators.
func (s *Service) ByOwner(
	ctx context.Context, ids []domain.WorkloadID,
) (map[domain.CustomerID][]domain.WorkloadID, error) {
	owners, err := s.deps.Retention.Owners(ctx, s.cfg.KeepArchive, ids...)
	if err != nil {
		return nil, err
	}
	out := map[domain.CustomerID][]domain.WorkloadID{}
	for _, id := range ids {
		out[owners[id]] = append(out[owners[id]], id)
	}
	return out, nil
}

// List returns a page of a customer's workloads.
func (s *Service) List(ctx context.Context, q ports.WorkloadQuery) (ports.WorkloadPage, error) {
	return s.deps.Workloads.List(ctx, q)
}

// Count counts what the pages of a list have.
func (s *Service) Count(ctx context.Context, q ports.WorkloadQuery) (ports.WorkloadCount, error) {
	return s.deps.Workloads.Count(ctx, q)
}

// ReadLogs returns log lines of a customer's workload. CodeNotFound as in Get.
func (s *Service) ReadLogs(ctx context.Context, q ports.LogQuery) ([]domain.LogLine, error) {
	if _, err := s.Get(ctx, q.Customer, q.Workload); err != nil {
		return nil, err
	}
	return s.deps.Logs.List(ctx, q)
}

// ReadAudit returns up to limit audit events of a customer's workload with ids above after, oldest
// first.
func (s *Service) ReadAudit(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, after int64, limit int,
) ([]domain.AuditEvent, error) {
	if _, err := s.Get(ctx, customer, id); err != nil {
		return nil, err
	}
	return s.deps.Audit.Workload(ctx, customer, id, after, limit)
}

// ListCheckpoints returns the stored checkpoints of a customer's workload, newest first.
func (s *Service) ListCheckpoints(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID,
) ([]domain.Checkpoint, error) {
	if _, err := s.Get(ctx, customer, id); err != nil {
		return nil, err
	}
	return s.deps.Checkpoints.List(ctx, customer, id)
}
