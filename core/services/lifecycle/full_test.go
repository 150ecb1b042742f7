package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

type quiet struct{ ports.Observer }

func (quiet) Submitted(domain.Tier, []ports.SubmitResult, time.Duration) {}

// Checkpointed implements ports.Observer.
func (quiet) Checkpointed(ports.CheckpointAttempt) {}

type asleep struct{ ports.Notifier }

func (asleep) Wake(context.Context, string) {}

// lost is an InsightStore that cannot be read.
type lost struct{ ports.InsightStore }

func (lost) Throughput(context.Context) (domain.Throughput, error) {
	return domain.Throughput{}, errors.New("lost")
}

// now is the time all the while: estimates depend on how long ago something was placed.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

type still struct{}

func (still) Now() time.Time { return now }

// errorsOf submits n workloads of a customer whose queue holds one, and returns the errors.
func errorsOf(t *testing.T, insight func(ports.InsightStore) ports.InsightStore, n int) []*domain.Error {
	t.Helper()
	s := memory.NewStore(still{}).Stores()
	_, err := s.Customers.Create(t.Context(), domain.Customer{
		ID: "cust_a", Name: "A", Tier: domain.TierFree, Overrides: domain.Limits{MaxQueueDepth: 1},
	}, domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	svc := lifecycle.New(lifecycle.Config{}, lifecycle.Deps{
		Workloads: s.Workloads, Customers: s.Customers, Configs: s.Configs, Workers: s.Workers, Insight: insight(s.Insight),
		Notifier: asleep{}, Observer: quiet{}, Clock: still{}, IDs: system.IDs{},
	})
	reqs := make([]lifecycle.SubmitRequest, n)
	for i := range reqs {
		reqs[i] = lifecycle.SubmitRequest{Type: "sleep", Input: "{}"}
	}
	outcomes, err := svc.SubmitBatch(t.Context(), domain.Principal{Role: domain.RoleCustomer, CustomerID: "cust_a"}, reqs)
	require.NoError(t, err)
	out := make([]*domain.Error, n)
	for i, o := range outcomes {
		if o.Err != nil {
			require.ErrorAs(t, o.Err, &out[i])
		}
	}
	return out
}

func TestSubmit_WhenTheQueueIsFull_SaysHowFullAndWhenThereIsRoom(t *testing.T) {
	rate := func(placed int, busy time.Duration) domain.PlacementRate {
		return domain.PlacementRate{Placed: placed, Busy: busy.Microseconds(), Last: now}
	}
	saved := func(p domain.Throughput) func(ports.InsightStore) ports.InsightStore {
		return func(s ports.InsightStore) ports.InsightStore {
			p.At = now
			require.NoError(t, s.SaveThroughput(t.Context(), p))
			return s
		}
	}
	all := func(placed int, busy time.Duration) domain.Throughput {
		return domain.Throughput{Types: map[string]domain.PlacementRate{"sleep": rate(placed, busy)}}
	}
	own := all(10, 100*time.Second)
	own.Customers = map[domain.CustomerID]domain.PlacementRate{"cust_a": rate(50, 100*time.Second)}
	for name, c := range map[string]struct {
		insight func(ports.InsightStore) ports.InsightStore
		want    []int // seconds, of the refused ones, in order
	}{
		"its own rate":          {saved(own), []int{2, 4, 6}},
		"the rate of all":       {saved(all(10, 100*time.Second)), []int{10, 20, 30}},
		"never less than 1 s":   {saved(all(1000, time.Second)), []int{1, 1, 1}},
		"never more than 300 s": {saved(all(1, 200*time.Second)), []int{200, 300, 300}},
		"no rate":               {func(s ports.InsightStore) ports.InsightStore { return s }, []int{5, 5, 5}},
		"no answer":             {func(ports.InsightStore) ports.InsightStore { return lost{} }, []int{5, 5, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			errs := errorsOf(t, c.insight, 4)
			require.Nil(t, errs[0])
			for i, want := range c.want {
				e := errs[i+1]
				require.NotNil(t, e)
				assert.Equal(t, domain.CodeUnavailable, e.Code)
				assert.Equal(t, map[string]any{"queue_depth": 1, "max_queue_depth": 1}, e.Details)
				assert.InDelta(t, want, e.RetryAfter.Seconds(), 0, "refused submission %d", i+1)
			}
		})
	}
}
