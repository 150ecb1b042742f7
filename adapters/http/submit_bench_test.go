package http

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// acceptingStore accepts every submission and keeps none, so that a benchmark measures the way to
// the store.
type acceptingStore struct{ ports.WorkloadStore }

func (acceptingStore) Submit(_ context.Context, items []domain.Submission) ([]ports.SubmitResult, error) {
	out := make([]ports.SubmitResult, len(items))
	for i := range items {
		out[i].Status = domain.Admitted
		out[i].Workload.Spec = items[i].Spec
		out[i].Workload.Status = domain.StatusRunning // what runs needs no estimate
	}
	return out, nil
}

type noConfigs struct{ ports.ConfigStore }

func (noConfigs) ForTypes(context.Context, []domain.ConfigKey) (map[domain.ConfigKey]domain.WorkloadConfig, error) {
	return nil, nil
}

func (oneCustomer) GetMany(context.Context, []domain.CustomerID) (map[domain.CustomerID]domain.Customer, error) {
	return map[domain.CustomerID]domain.Customer{"cust_a": {ID: "cust_a", Tier: domain.TierEnterprise}}, nil
}

func (silent) Submitted(domain.Tier, []ports.SubmitResult, time.Duration) {}

// Checkpointed implements ports.Observer.
func (silent) Checkpointed(ports.CheckpointAttempt) {}

type noNotifier struct{ ports.Notifier }

func (noNotifier) Wake(context.Context, string) {}

// benchSubmission has the shape of a common one: rows of input, a few labels, affinity.
const benchSubmission = `{"workload_type": "report", "priority": 20, "labels": {"team": "billing", "month": "2026-10"},
 "affinity_rules": {"hard_affinity": {"worker_tags": {"region": "eu"}},
  "soft_affinity": {"worker_tags": {"disk": "ssd"}}},
 "run_at": "2026-11-01T00:00:00Z",
 "input_params": {"customers": [%s], "currency": "EUR", "rates": {"EUR": 1, "USD": 1.0843, "GBP": 0.8571},
  "dry_run": false, "note": "closing of the month – second run"}}`

func benchItem(n int) string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"id": "cust_%06d", "invoices": [%d, %d], "vat": 0.19}`, i, i*7, i*11)
	}
	return fmt.Sprintf(benchSubmission, strings.Join(rows, ", "))
}

// BenchmarkSubmit measures what the API does with a submission before a store is asked: everything
// between the router and WorkloadStore.Submit.
func BenchmarkSubmit(b *testing.B) {
	for name, n := range map[string]int{"one": 1, "batch-1000": 1000} {
		b.Run(name, func(b *testing.B) {
			s := newSurface(b)
			s.Lifecycle = lifecycle.New(lifecycle.Config{}, lifecycle.Deps{
				Workloads: acceptingStore{}, Customers: oneCustomer{}, Configs: noConfigs{}, Notifier: noNotifier{},
				Observer: silent{}, Clock: system.Clock{}, IDs: system.IDs{},
			})
			router, err := s.api.router(gen.NewStrictHandlerWithOptions(s.api, []gen.StrictMiddlewareFunc{checkBound},
				gen.StrictHTTPServerOptions{
					RequestErrorHandlerFunc: s.api.failBody, ResponseErrorHandlerFunc: s.api.fail,
				}))
			require.NoError(b, err)
			path, body, want := "/v1/workloads", benchItem(16), http.StatusAccepted
			if n > 1 {
				body = benchItem(4) // a thousand fit into one body
				items := strings.TrimSuffix(strings.Repeat(body+",\n", n), ",\n")
				path, body, want = "/v1/workloads/batch", `{"workloads": [`+items+`]}`, http.StatusOK
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
				r.Header.Set("Authorization", "Bearer "+s.keys[domain.RoleCustomer])
				r.Header.Set("Content-Type", "application/json")
				rec := httptest.NewRecorder()
				router.ServeHTTP(rec, r)
				if rec.Code != want || n > 1 && strings.Contains(rec.Body.String(), `"error"`) {
					b.Fatalf("%d: %.300s", rec.Code, rec.Body.String())
				}
			}
		})
	}
}
