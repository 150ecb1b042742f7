package scaling_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/scaling"
	"github.com/niyanta/niyanta/core/services/statistics"
)

var now = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// queued is a storage of which a test says what waits. Its customer may run 10 workloads.
type queued struct {
	ports.StatisticsStore
	ports.CustomerStore
	lanes []domain.LaneBacklog
}

// fleet is the workers that are there.
type fleet struct {
	ports.WorkerStore
	workers []domain.Worker
}

func (q *queued) Backlog(context.Context) (domain.Backlog, error) {
	return domain.Backlog{Now: now, Lanes: q.lanes, Customers: []domain.CustomerBacklog{{CustomerID: "acme"}}}, nil
}

func (q *queued) Statistics(context.Context, domain.StatisticsQuery) ([]domain.Statistic, error) {
	return nil, nil
}

func (q *queued) GetMany(
	context.Context, []domain.CustomerID,
) (map[domain.CustomerID]domain.Customer, error) {
	c := domain.Customer{ID: "acme", Tier: domain.TierFree}
	c.Overrides.MaxConcurrent = 10
	return map[domain.CustomerID]domain.Customer{"acme": c}, nil
}

func (f *fleet) Fleet(context.Context) (domain.Fleet, error) {
	return domain.Fleet{Workers: f.workers}, nil
}

// wait has n workloads of a type wait since a time ago.
func (q *queued) wait(workloadType string, n int, since time.Duration) {
	l := domain.NewLane(&domain.Spec{CustomerID: "acme", Type: workloadType})
	q.lanes = append(q.lanes, domain.LaneBacklog{Lane: l, Waiting: n, Oldest: now.Add(-since)})
}

func TestPools_WhenOlderWorkFitsNoWorker_CountTheRest(t *testing.T) {
	q, f := &queued{}, &fleet{}
	q.wait("rendr", 10, time.Hour) // a mistyped name
	q.wait("render", 5, time.Minute)
	s := scaling.New(scaling.Config{Pools: []domain.Pool{
		{Name: "render", Types: []string{"render"}, Slots: 4, MaxWorkers: 10, TargetPercent: 100},
	}}, scaling.Deps{
		Statistics: statistics.New(statistics.Deps{Statistics: q, Customers: q, Clock: contracttests.NewClock(now)}),
		Workers:    f,
	})
	pools, err := s.Pools(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 5, pools[0].Waiting)
	assert.Positive(t, pools[0].DesiredWorkers)

	// A worker outside of the pools runs it, so that it takes the customer's room.
	f.workers = []domain.Worker{{ID: "w", SessionID: "s", Status: domain.WorkerHealthy, Slots: 1,
		Capabilities: []string{"rendr"}}}
	pools, err = s.Pools(t.Context())
	require.NoError(t, err)
	assert.Zero(t, pools[0].Waiting)
}
