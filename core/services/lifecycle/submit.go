package lifecycle

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// SubmitRequest is a submission as a client states it. Nil and zero fields take the defaults of the customer's
// config for the type, or the platform's.
type SubmitRequest struct {
	Type     string
	Input    domain.JSON
	Labels   map[string]string
	Priority *int
	Affinity domain.Affinity
	Timeout  *time.Duration
	RunAt    time.Time
	// IdempotencyKey and Digest of the body make repeating safe; see ports.WorkloadStore.Submit.
	IdempotencyKey string
	Digest         [32]byte
}

// SubmitOutcome is the fate of one submission of a batch: a workload or an error.
type SubmitOutcome struct {
	Workload domain.Workload
	Err      error
}

// queueFullRetry is when trying again makes sense for a customer whose queue is full.
const queueFullRetry = 5 * time.Second

// Submit stores one workload. It shares a commit with whoever submits at the same time.
// CodeInvalidInput, CodeConflict (idempotency key with another body), CodeUnavailable (queue full).
func (s *Service) Submit(ctx context.Context, p domain.Principal, req SubmitRequest) (domain.Workload, error) {
	outcomes, err := s.SubmitBatch(ctx, p, []SubmitRequest{req})
	if err != nil {
		return domain.Workload{}, err
	}
	return outcomes[0].Workload, outcomes[0].Err
}

// SubmitBatch stores many workloads and answers each in its place.
func (s *Service) SubmitBatch(ctx context.Context, p domain.Principal, reqs []SubmitRequest) ([]SubmitOutcome, error) {
	customer, configs, err := s.settingsFor(ctx, p.CustomerID, reqs)
	if err != nil {
		return nil, err
	}
	outcomes := make([]SubmitOutcome, len(reqs))
	items := make([]domain.Submission, 0, len(reqs))
	places := make([]int, 0, len(reqs))
	for i := range reqs {
		sub, err := s.prepare(customer, p, &reqs[i], configs)
		if err != nil {
			if domain.CodeOf(err) == domain.CodeInternal || ctx.Err() != nil {
				return nil, err
			}
			outcomes[i].Err = err
			continue
		}
		items, places = append(items, sub), append(places, i)
	}
	if len(items) == 0 {
		return outcomes, nil
	}
	results, err := s.submits.Do(ctx, items...)
	if err != nil {
		return nil, err
	}
	s.Observer.Submitted(results)
	accepted := false
	for k, r := range results {
		outcomes[places[k]] = outcomeOf(r)
		accepted = accepted || r.Status == ports.SubmitAccepted
	}
	if accepted {
		s.Notifier.Wake(ctx, ports.WakeSubmit)
	}
	return outcomes, nil
}

func outcomeOf(r ports.SubmitResult) SubmitOutcome {
	switch r.Status {
	case ports.SubmitAccepted, ports.SubmitDuplicate:
		return SubmitOutcome{Workload: r.Workload}
	case ports.SubmitConflict:
		return SubmitOutcome{Err: domain.NewError(domain.CodeConflict,
			"this Idempotency-Key was used with another body").With("field", "Idempotency-Key")}
	case ports.SubmitQueueFull:
		return SubmitOutcome{Err: domain.Unavailable(queueFullRetry, "the queue of this customer is full")}
	case ports.SubmitNoCustomer:
		return SubmitOutcome{Err: domain.NotFound("customer")}
	}
	return SubmitOutcome{Err: domain.NewError(domain.CodeInternal, "unexpected submit status %d", r.Status)}
}

// effective is what a customer's submissions of a type run with.
type effective struct {
	id  domain.ConfigID
	run domain.RunConfig
	err error
}

// setting is what the store says of a customer and its config of a type; either may be missing.
type setting struct {
	customer *domain.Customer
	config   *domain.WorkloadConfig
}

// readSettings reads the settings of whoever submits at the same time, in two queries for all of them. It begins after they
// asked, so that a config that was changed before is seen.
func (s *Service) readSettings(ctx context.Context, keys []domain.ConfigKey) ([]setting, error) {
	ids := make([]domain.CustomerID, len(keys))
	for i, k := range keys {
		ids[i] = k.CustomerID
	}
	customers, err := s.Customers.GetMany(ctx, slices.Compact(slices.Sorted(slices.Values(ids))))
	if err != nil {
		return nil, err
	}
	configs, err := s.Configs.ForTypes(ctx, keys)
	if err != nil {
		return nil, err
	}
	out := make([]setting, len(keys))
	for i, k := range keys {
		if c, ok := customers[k.CustomerID]; ok {
			out[i].customer = &c
		}
		if c, ok := configs[k]; ok {
			out[i].config = &c
		}
	}
	return out, nil
}

// settingsFor returns the customer, and what its submissions of each type run with.
func (s *Service) settingsFor(ctx context.Context, id domain.CustomerID, reqs []SubmitRequest) (domain.Customer, map[string]effective, error) {
	configs := map[string]effective{}
	for i := range reqs {
		if domain.ValidateType("workload_type", reqs[i].Type) == nil { // the others are refused without a look
			configs[reqs[i].Type] = effective{}
		}
	}
	types := slices.Sorted(maps.Keys(configs))
	keys := make([]domain.ConfigKey, max(len(types), 1)) // the customer is looked up in any case
	keys[0].CustomerID = id
	for i, t := range types {
		keys[i] = domain.ConfigKey{CustomerID: id, Type: t}
	}
	found, err := s.settings.Do(ctx, keys...)
	if err != nil {
		return domain.Customer{}, nil, err
	}
	if found[0].customer == nil {
		return domain.Customer{}, nil, domain.NotFound("customer")
	}
	for i, t := range types {
		configs[t] = s.effective(ctx, id, t, found[i].config)
	}
	return *found[0].customer, configs, nil
}

// prepare turns a request into a validated submission.
func (s *Service) prepare(c domain.Customer, p domain.Principal, req *SubmitRequest, configs map[string]effective) (domain.Submission, error) {
	sub := domain.Submission{
		Spec: domain.Spec{
			ID:         domain.WorkloadID(s.IDs.New(domain.PrefixWorkload)),
			CustomerID: c.ID, Type: req.Type, Input: req.Input, Labels: req.Labels,
			Priority: domain.DefaultPriority, Affinity: req.Affinity, RunAt: req.RunAt,
			Run: domain.DefaultRunConfig(),
		},
		IdempotencyKey: req.IdempotencyKey, Digest: req.Digest,
		Actor: domain.Actor{Kind: domain.ActorUser, ID: string(p.KeyID)},
	}
	if req.Priority != nil {
		sub.Priority = *req.Priority
	}
	if err := sub.Validate(); err != nil {
		return sub, err
	}
	eff := configs[req.Type]
	if eff.err != nil {
		return sub, eff.err
	}
	sub.ConfigID, sub.Run = eff.id, eff.run
	if req.Timeout != nil {
		sub.Run.Timeout = *req.Timeout
		if err := domain.ValidateTimeout(sub.Run.Timeout); err != nil {
			return sub, err
		}
	}
	return sub, nil
}

// effective returns the customer's config for the type, or the defaults if any worker ever offered the type.
func (s *Service) effective(ctx context.Context, customer domain.CustomerID, workloadType string, cfg *domain.WorkloadConfig) effective {
	if cfg != nil {
		return effective{id: cfg.ID, run: cfg.RunConfig}
	}
	if s.types.has(workloadType) {
		return effective{run: domain.DefaultRunConfig()}
	}
	offered, err := s.Workers.KnownTypes(ctx)
	if err != nil {
		return effective{err: err}
	}
	s.types.set(offered)
	if s.types.has(workloadType) {
		return effective{run: domain.DefaultRunConfig()}
	}
	return effective{err: s.unknownType(ctx, customer, workloadType, offered)}
}

func (s *Service) unknownType(ctx context.Context, customer domain.CustomerID, workloadType string, offered []string) error {
	known := map[string]bool{}
	for _, t := range offered {
		known[t] = true
	}
	configs, err := s.Configs.List(ctx, customer)
	if err != nil {
		return err
	}
	for _, c := range configs {
		known[c.Type] = true
	}
	names := slices.Sorted(maps.Keys(known))
	list := strings.Join(names, ", ")
	if list == "" {
		list = "none yet: no worker has registered"
	}
	return domain.Invalid("workload_type", "%q is not known; known types: %s", workloadType, list).With("known_types", names)
}

// knownTypes remembers the types that workers offered. Types are never forgotten by the store, so a hit is
// always right and only a miss needs the store.
type knownTypes struct {
	current atomic.Pointer[map[string]bool]
}

func (k *knownTypes) has(t string) bool {
	m := k.current.Load()
	return m != nil && (*m)[t]
}

func (k *knownTypes) set(names []string) {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	k.current.Store(&m)
}
