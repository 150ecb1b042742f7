package lifecycle

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
)

// SubmitRequest is a submission as a client states it. Nil and zero fields get the defaults of the
// customer's config for the type, or else the platform's.
type SubmitRequest struct {
	Type     string
	Input    domain.JSON
	Labels   map[string]string
	Priority *int
	Affinity domain.Affinity
	Timeout  *time.Duration
	RunAt    time.Time
	// MaxRetries is how many failures are retried.
	MaxRetries *int
	// Resources, if stated, replace those of the config.
	Resources *domain.Resources
	// IdempotencyKey makes it safe to repeat the submission; see ports.WorkloadStore.Submit.
	IdempotencyKey string
}

// SubmitOutcome is the result of one submission of a batch: a workload or an error.
type SubmitOutcome struct {
	Workload domain.Workload
	Err      error
}

// Submit stores one workload. It shares a commit with concurrent callers. CodeInvalidInput,
// CodeConflict (the idempotency key was used with another body), CodeUnavailable (the queue is
// full).
func (s *Service) Submit(ctx context.Context, p domain.Principal, req SubmitRequest) (domain.Workload, error) {
	outcomes, err := s.SubmitBatch(ctx, p, []SubmitRequest{req})
	if err != nil {
		return domain.Workload{}, err
	}
	return outcomes[0].Workload, outcomes[0].Err
}

// SubmitBatch stores workloads and returns an outcome for each, in order.
func (s *Service) SubmitBatch(ctx context.Context, p domain.Principal, reqs []SubmitRequest) ([]SubmitOutcome, error) {
	types := make([]string, len(reqs))
	for i := range reqs {
		types[i] = reqs[i].Type
	}
	customer, configs, err := s.settingsFor(ctx, p.CustomerID, types)
	if err != nil {
		return nil, err
	}
	return s.store(ctx, customer, len(reqs), func(i int) (domain.Submission, error) {
		return s.prepare(customer, p, &reqs[i], configs)
	})
}

// store stores n submissions of a customer and answers each in its place. One that cannot be
// prepared is answered with that error.
func (s *Service) store(
	ctx context.Context, customer domain.Customer, n int, prepare func(i int) (domain.Submission, error),
) ([]SubmitOutcome, error) {
	outcomes := make([]SubmitOutcome, n)
	items := make([]domain.Submission, 0, n)
	places := make([]int, 0, n)
	for i := range n {
		sub, err := prepare(i)
		if err != nil {
			if domain.CodeOf(err) == domain.CodeInternal || ctx.Err() != nil {
				return nil, err
			}
			outcomes[i].Err = err
			continue
		}
		sub.Origin = ports.OriginOf(ctx)
		items, places = append(items, sub), append(places, i)
	}
	if len(items) == 0 {
		return outcomes, nil
	}
	began := s.deps.Clock.Now()
	results, err := s.submits.Do(ctx, items...)
	if err != nil {
		return nil, err
	}
	s.deps.Observer.Submitted(customer.Tier, results, s.deps.Clock.Now().Sub(began))
	accepted := false
	var full []int // indices in outcomes
	for k, r := range results {
		outcomes[places[k]] = outcomeOf(&items[k], r)
		accepted = accepted || r.Status == domain.Admitted
		if r.Status == domain.AdmissionQueueFull {
			full = append(full, places[k])
		}
	}
	s.sayWhenRoom(ctx, customer.ID, outcomes, full)
	if accepted {
		s.deps.Notifier.Wake(ctx, ports.WakeSubmit)
	}
	return outcomes, nil
}

func outcomeOf(sub *domain.Submission, r ports.SubmitResult) SubmitOutcome {
	switch r.Status {
	case domain.Admitted, domain.AdmittedBefore:
		return SubmitOutcome{Workload: r.Workload}
	case domain.AdmissionConflict:
		return SubmitOutcome{Err: errOtherBody()}
	case domain.AdmissionQueueFull:
		return SubmitOutcome{Err: errQueueFull(r.Queue)}
	case domain.AdmissionNoCustomer:
		return SubmitOutcome{Err: domain.NotFound("customer")}
	case domain.AdmissionSuspended:
		return SubmitOutcome{Err: domain.ErrSuspended()}
	case domain.AdmissionNoCheckpoint:
		return SubmitOutcome{Err: errNoCheckpoint(sub)}
	case domain.AdmissionRefused:
		return SubmitOutcome{Err: sub.Refused}
	}
	return SubmitOutcome{Err: domain.NewError(domain.CodeInternal, "unexpected submit status %d", r.Status)}
}

// effective is the config of a customer's submissions of one type. refused, if set, is why new ones
// are not accepted.
type effective struct {
	id      domain.ConfigID
	run     domain.RunConfig
	refused error
}

// refuse has the submission refused. One with an idempotency key may repeat one that was accepted,
// which only the store knows.
func refuse(sub *domain.Submission, why error) error {
	if why != nil && sub.IdempotencyKey != "" {
		sub.Refused, why = why, nil
	}
	return why
}

// setting is a customer and its config of a type. Either is nil if it does not exist.
type setting struct {
	customer *domain.Customer
	config   *domain.WorkloadConfig
}

// readSettings reads the settings for concurrent callers with two queries. The reads begin after
// the callers have asked, so that earlier changes of a config are seen.
func (s *Service) readSettings(ctx context.Context, keys []domain.ConfigKey) ([]setting, error) {
	ids := make([]domain.CustomerID, len(keys))
	for i, k := range keys {
		ids[i] = k.CustomerID
	}
	customers, err := s.deps.Customers.GetMany(ctx, slices.Compact(slices.Sorted(slices.Values(ids))))
	if err != nil {
		return nil, err
	}
	configs, err := s.deps.Configs.ForTypes(ctx, keys)
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

// settingsFor returns the customer and the effective config of each of these types.
func (s *Service) settingsFor(
	ctx context.Context, id domain.CustomerID, wanted []string,
) (domain.Customer, map[string]effective, error) {
	configs := map[string]effective{}
	for _, t := range wanted {
		if domain.ValidateType("workload_type", t) == nil { // invalid types are refused without reading a config
			configs[t] = effective{}
		}
	}
	types := slices.Sorted(maps.Keys(configs))
	keys := make([]domain.ConfigKey, max(len(types), 1)) // at least one, to read the customer
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
	known := sync.OnceValues(func() ([]string, error) { return s.supported(ctx, id) })
	for i, t := range types {
		if configs[t], err = s.effective(t, found[i].config, known); err != nil {
			return domain.Customer{}, nil, err
		}
	}
	return *found[0].customer, configs, nil
}

// prepare turns a request into a validated submission.
func (s *Service) prepare(
	c domain.Customer, p domain.Principal, req *SubmitRequest, configs map[string]effective,
) (domain.Submission, error) {
	sub := domain.Submission{
		Spec: domain.Spec{
			ID:         domain.WorkloadID(s.deps.IDs.New(domain.PrefixWorkload)),
			CustomerID: c.ID, Type: req.Type, Input: req.Input, Labels: req.Labels,
			Priority: domain.DefaultPriority, Affinity: req.Affinity, RunAt: req.RunAt,
		},
		IdempotencyKey: req.IdempotencyKey,
		Actor:          p.Actor(),
	}
	if req.Priority != nil {
		sub.Priority = *req.Priority
	}
	eff := configs[req.Type]
	sub.ConfigID, sub.Run = eff.id, eff.run
	if req.Timeout != nil {
		sub.Run.Timeout = *req.Timeout
	}
	if req.MaxRetries != nil {
		sub.Run.MaxRetries = *req.MaxRetries
	}
	if req.Resources != nil {
		sub.Run.Resources = req.Resources.Canonical()
	}
	if err := sub.Validate(); err != nil {
		return sub, err
	}
	if err := refuse(&sub, eff.refused); err != nil {
		return sub, err
	}
	if sub.IdempotencyKey != "" {
		sub.Digest = domain.Stated{
			Type: req.Type, Input: req.Input, Labels: req.Labels, Priority: req.Priority, Affinity: req.Affinity,
			Timeout: req.Timeout, RunAt: req.RunAt, MaxRetries: req.MaxRetries, Resources: req.Resources,
		}.Digest()
		sub.Meaning = sub.Spec.Meaning()
	}
	return sub, nil
}

// effective returns the config of a customer's workloads of a type, or the defaults. An unknown
// type is accepted and waits for a worker that offers it, unless known types are required. supported
// returns the types that the customer could mean.
func (s *Service) effective(
	workloadType string, cfg *domain.WorkloadConfig, supported func() ([]string, error),
) (effective, error) {
	if cfg != nil {
		return effective{id: cfg.ID, run: cfg.RunConfig}, nil
	}
	eff := effective{run: domain.DefaultRunConfig()}
	if s.cfg.RequireKnownTypes && !s.types.offers(workloadType, s.deps.Clock.Now()) {
		names, err := supported()
		switch {
		case err != nil:
			return eff, err
		case !s.types.offers(workloadType, s.deps.Clock.Now()):
			eff.refused = unknownType(workloadType, names)
		}
	}
	return eff, nil
}

// offered reads the types that live workers offer, and remembers them for offeredFor.
func (s *Service) offered(ctx context.Context) (map[string]bool, error) {
	now := s.deps.Clock.Now()
	workers, err := s.deps.Workers.List(ctx)
	if err != nil {
		return nil, err
	}
	types := placement.Offered(workers)
	s.types.current.Store(&offer{types, now.Add(offeredFor)})
	return types, nil
}

// supportedListed bounds how many types an error lists.
const supportedListed = 100

// supported reads the types that a customer could mean: those that it has a config for and those
// that live workers offer. It returns supportedListed of them at most, in order.
func (s *Service) supported(ctx context.Context, customer domain.CustomerID) ([]string, error) {
	offered, err := s.offered(ctx)
	if err != nil {
		return nil, err
	}
	names, err := s.deps.Configs.Types(ctx, customer, supportedListed)
	if err != nil {
		return nil, err
	}
	for t := range offered {
		if domain.IsType(t) {
			names = append(names, t)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), supportedListed)], nil
}

// unknownType returns an error that lists the types the customer could mean.
func unknownType(workloadType string, names []string) error {
	list := strings.Join(names, ", ")
	if list == "" {
		list = "none yet: no worker has registered"
	}
	return domain.Invalid("workload_type", "%q is not supported; supported types: %s", workloadType, list).
		With("supported_types", append([]string{}, names...))
}

// Unoffered returns those of the given types and other capabilities that no live worker offers.
// Their workloads wait until a worker offers them. A worker that left within offeredFor may still
// count; a new worker is never missed.
func (s *Service) Unoffered(ctx context.Context, types ...string) (map[string]bool, error) {
	missing := map[string]bool{}
	for _, t := range types {
		if !s.types.offers(t, s.deps.Clock.Now()) {
			missing[t] = true
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	offered, err := s.offered(ctx)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(missing, func(t string, _ bool) bool { return offered[t] })
	return missing, nil
}

// offeredFor is how long a type counts as offered after it was read.
const offeredFor = 2 * time.Second

// offer is what live workers offered at one moment.
type offer struct {
	types map[string]bool
	until time.Time
}

// knownTypes remembers the last offer. Only a type that it does not hold requires a read of the
// store.
type knownTypes struct{ current atomic.Pointer[offer] }

func (k *knownTypes) offers(t string, now time.Time) bool {
	o := k.current.Load()
	return o != nil && now.Before(o.until) && o.types[t]
}
