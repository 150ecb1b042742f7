package contracttests

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func submitCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"a submission is kept with every field",
			"Submit stores each submission with its audit event", func(t T, h StoreHarness) {
				f := given(t, h)
				s := f.submission(acme)
				s.Labels = map[string]string{"team": "billing"}
				s.Affinity.Hard.WorkerTags = map[string]string{"gpu": "yes"}
				s.Affinity.Anti.WorkloadTypes = []string{"noisy"}
				s.Priority, s.ConfigID = 77, "wlcfg_1"
				s.Run.Config = `{"k":[1,2]}`
				s.Run.Backoff = domain.RetryBackoff{Initial: 1500 * time.Microsecond, Factor: 1.1, Max: time.Hour}
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{s})
				require.NoError(t, err)
				again := h.Open() // another handle on the same storage
				ws, err := again.Workloads.Get(t.Context(), acme, s.ID)
				require.NoError(t, err)
				require.Len(t, ws, 1)
				got := ws[0]
				require.Equal(t, rs[0].Workload, got)
				require.Equal(t, domain.StatusPending, got.Status)
				require.Equal(t, got.CreatedAt, got.QueueAt)
				want := s.Spec
				want.CreatedAt, want.QueueAt, want.Lane = got.CreatedAt, got.QueueAt, domain.LaneOf(&s.Spec)
				require.Equal(t, want, got.Spec)
				require.Equal(t, []domain.AuditType{domain.AuditCreated}, f.trail(got))
				cancelled, err := f.Workloads.Apply(t.Context(), domain.Batch{Transitions: []domain.Transition{cancel(got)}})
				require.NoError(t, err)
				require.Equal(t, s.Origin, cancelled[0].Origin, "results tell where the workload comes from")
				require.Equal(t, got.UpdatedAt, cancelled[0].FromAt)
			}},
		{"run_at is kept in UTC and microseconds",
			"RunAt is kept in UTC and whole microseconds", func(t T, h StoreHarness) {
				f := given(t, h)
				at := time.Date(2100, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("", 3600))
				w := f.submit(func(s *domain.Submission) { s.RunAt = at })
				want := time.Date(2100, 1, 2, 2, 4, 5, 678_901_000, time.UTC)
				require.Equal(t, []time.Time{want, want, want}, []time.Time{w.RunAt, w.NotBefore, w.QueueAt})
				require.Equal(t, w, f.get(w.ID))
			}},
		{"inputs and results are not aliased",
			"Arguments are not kept or changed after the call; results belong to the caller",
			func(t T, h StoreHarness) {
				f := given(t, h)
				s := f.submission(acme)
				s.Labels = map[string]string{"k": "v"}
				s.Affinity.Hard.WorkerTags = map[string]string{"a": "b"}
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{s})
				require.NoError(t, err)
				s.Labels["k"], s.Affinity.Hard.WorkerTags["a"] = "changed", "changed"
				rs[0].Workload.Labels["k"] = "changed"
				got := f.get(s.ID)
				got.Labels["k"], got.Affinity.Hard.WorkerTags["a"] = "changed", "changed"
				require.Equal(t, "v", f.get(s.ID).Labels["k"])
				require.Equal(t, "b", f.get(s.ID).Affinity.Hard.WorkerTags["a"])
			}},
		{"the same id again is the same workload",
			"the workload id exists already: AdmittedBefore with it", func(t T, h StoreHarness) {
				f := given(t, h)
				s := f.submission(acme)
				for i, want := range []domain.Admission{domain.Admitted, domain.AdmittedBefore} {
					rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{s})
					require.NoError(t, err)
					require.Equal(t, want, rs[0].Status, i)
					require.Equal(t, s.ID, rs[0].Workload.ID)
				}
				require.Len(t, f.trail(f.get(s.ID)), 1)
			}},
		{"an idempotency key returns the first workload",
			"key known, digest or meaning the same: AdmittedBefore with the first workload", func(t T, h StoreHarness) {
				f := given(t, h)
				first := f.submit(keyed(1))
				second, other, foreign := f.submission(acme), f.submission(acme), f.submission(rival)
				keyed(1)(&second)
				keyed(2)(&other)
				keyed(2)(&foreign)
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{second, other, foreign})
				require.NoError(t, err)
				require.Equal(t, domain.AdmittedBefore, rs[0].Status)
				require.Equal(t, first.ID, rs[0].Workload.ID)
				require.Equal(t, domain.AdmissionConflict, rs[1].Status, "another digest")
				require.Equal(t, domain.Admitted, rs[2].Status, "keys are per customer")
				ws, err := f.Workloads.GetAny(t.Context(), second.ID, other.ID)
				require.NoError(t, err)
				require.Empty(t, ws, "a refused item leaves no trace")
			}},
		{"a submission that is refused may repeat one before",
			"Refused is set, and the submission repeats none before: AdmissionRefused", func(t T, h StoreHarness) {
				f := given(t, h)
				first := f.submit(keyed(1))
				again, other, fresh, plain := f.submission(acme), f.submission(acme), f.submission(acme), f.submission(acme)
				keyed(1)(&again)
				keyed(2)(&other)
				keyed(1)(&fresh)
				fresh.IdempotencyKey = "fresh"
				for _, s := range []*domain.Submission{&again, &other, &fresh, &plain} {
					s.Refused = domain.Invalid("workload_type", "is not offered")
				}
				accepted := f.submission(acme)
				keyed(3)(&accepted)
				accepted.IdempotencyKey = "fresh"
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{again, other, fresh, plain, accepted})
				require.NoError(t, err)
				require.Equal(t, domain.AdmittedBefore, rs[0].Status)
				require.Equal(t, first.ID, rs[0].Workload.ID)
				require.Equal(t, domain.AdmissionConflict, rs[1].Status)
				require.Equal(t, domain.AdmissionRefused, rs[2].Status)
				require.Equal(t, domain.AdmissionRefused, rs[3].Status)
				require.Equal(t, domain.Admitted, rs[4].Status, "what is refused does not use its key")
				ws, err := f.Workloads.GetAny(t.Context(), other.ID, fresh.ID, plain.ID)
				require.NoError(t, err)
				require.Empty(t, ws, "a refused item leaves no trace")
			}},
		{"a submission that means the same is a repetition",
			"key known, digest or meaning the same, neither the same: AdmissionConflict", func(t T, h StoreHarness) {
				f := given(t, h)
				means := func(digest, meaning byte) func(*domain.Submission) {
					return func(s *domain.Submission) {
						s.IdempotencyKey, s.Digest, s.Meaning = "k", [32]byte{digest}, [32]byte{meaning}
					}
				}
				first := f.submit(means(1, 1))
				for _, c := range []struct {
					digest, meaning byte
					want            domain.Admission
				}{{1, 2, domain.AdmittedBefore}, {2, 1, domain.AdmittedBefore}, {2, 2, domain.AdmissionConflict},
					{2, 0, domain.AdmissionConflict}, {1, 0, domain.AdmittedBefore}} {
					s := f.submission(acme)
					means(c.digest, c.meaning)(&s)
					rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{s})
					require.NoError(t, err)
					require.Equal(t, c.want, rs[0].Status, c)
					if c.want == domain.AdmittedBefore {
						require.Equal(t, first.ID, rs[0].Workload.ID)
					}
				}
			}},
		{"an idempotency key is forgotten after its retention",
			"younger than domain.IdempotencyRetention", func(t T, h StoreHarness) {
				f := given(t, h)
				f.submit(keyed(1))
				h.Advance(domain.IdempotencyRetention - time.Second)
				s := f.submission(acme)
				keyed(2)(&s)
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{s})
				require.NoError(t, err)
				require.Equal(t, domain.AdmissionConflict, rs[0].Status)
				h.Advance(time.Second)
				f.submit(keyed(2))
			}},
		{"of many racers with one idempotency key one is stored",
			"Idempotency key and queue depth are checked atomically with the insert", func(t T, h StoreHarness) {
				f := given(t, h)
				subs := make([]domain.Submission, 64)
				for i := range subs {
					subs[i] = f.submission(acme)
					keyed(1)(&subs[i])
				}
				stores := h.Open()
				rs := race(len(subs), func(i int) ports.SubmitResult {
					r, err := stores.Workloads.Submit(t.Context(), subs[i:i+1])
					if err != nil {
						return ports.SubmitResult{Status: -1}
					}
					return r[0]
				})
				require.Equal(t, 1, count(rs, func(r ports.SubmitResult) bool { return r.Status == domain.Admitted }))
				require.Equal(t, 63, count(rs, func(r ports.SubmitResult) bool {
					return r.Status == domain.AdmittedBefore
				}))
				require.Equal(t, 64, count(rs, func(r ports.SubmitResult) bool {
					return r.Workload.ID == rs[0].Workload.ID
				}))
			}},
		{"64 racers at limit minus one admit exactly one",
			"PENDING + REDISTRIBUTING at its MaxQueueDepth in force: AdmissionQueueFull, also between concurrent " +
				"batches",
			func(t T, h StoreHarness) {
				f := given(t, h)
				f.limit(domain.Limits{MaxQueueDepth: 3})
				f.submit()
				f.submit()
				subs := make([]domain.Submission, 64)
				for i := range subs {
					subs[i] = f.submission(acme)
				}
				rs := race(len(subs), func(i int) domain.Admission {
					r, err := f.Workloads.Submit(t.Context(), subs[i:i+1])
					if err != nil {
						return -1
					}
					return r[0].Status
				})
				require.Equal(t, 1, count(rs, func(s domain.Admission) bool { return s == domain.Admitted }))
				require.Equal(t, 63, count(rs, func(s domain.Admission) bool { return s == domain.AdmissionQueueFull }))
				u, err := f.Statistics.Usage(t.Context(), acme)
				require.NoError(t, err)
				require.Equal(t, 3, u.Queued)
			}},
		{"queue depth holds within one batch and makes room again",
			"also between items of one batch", func(t T, h StoreHarness) {
				f := given(t, h)
				f.limit(domain.Limits{MaxQueueDepth: 2})
				w := f.worker("w", 5)
				a := f.submit()
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{f.submission(acme), f.submission(acme),
					f.submission(rival)})
				require.NoError(t, err)
				require.Equal(t, []domain.Admission{domain.Admitted, domain.AdmissionQueueFull, domain.Admitted},
					[]domain.Admission{rs[0].Status, rs[1].Status, rs[2].Status})
				require.Equal(t, domain.QueueUse{Depth: 2, Max: 2}, rs[1].Queue)
				require.Zero(t, rs[0].Queue)
				f.must(assign(a, w))
				f.submit()
				f.limit(domain.Limits{MaxQueueDepth: 3})
				f.submit() // a raised limit holds for the next submission
			}},
		{"a full queue reports the number that really waits",
			"AdmissionQueueFull, with how much really waits", func(t T, h StoreHarness) {
				f := given(t, h)
				f.limit(domain.Limits{MaxQueueDepth: 5})
				w := f.worker("w", 5)
				first := f.submit()
				for range 4 {
					f.submit()
				}
				f.must(assign(first, w))
				f.limit(domain.Limits{MaxQueueDepth: 3}) // lowered below what waits
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{f.submission(acme), f.submission(acme)})
				require.NoError(t, err)
				for _, r := range rs {
					require.Equal(t, domain.AdmissionQueueFull, r.Status)
					require.Equal(t, domain.QueueUse{Depth: 4, Max: 3}, r.Queue)
				}
			}},
		{"an unknown customer is refused", "customer unknown: AdmissionNoCustomer", func(t T, h StoreHarness) {
			f := given(t, h)
			rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{f.submission("cust_nobody")})
			require.NoError(t, err)
			require.Equal(t, domain.AdmissionNoCustomer, rs[0].Status)
		}},
	}
}

func keyed(digest byte) func(*domain.Submission) {
	return func(s *domain.Submission) { s.IdempotencyKey, s.Digest = "k", [32]byte{digest} }
}

// limit sets the overrides of acme.
func (f *fixture) limit(l domain.Limits) {
	f.Helper()
	_, err := f.Customers.Update(f.Context(), acme, domain.CustomerPatch{Limits: domain.LimitsPatch{
		MaxConcurrent: domain.To(l.MaxConcurrent), MaxQueueDepth: domain.To(l.MaxQueueDepth),
	}}, admin)
	require.NoError(f, err)
}
