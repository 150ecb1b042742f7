package lifecycle_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// behind is a store with a replica that has nothing yet.
type behind struct {
	ports.WorkloadStore
	has domain.Workload
}

func (b behind) List(_ context.Context, q ports.WorkloadQuery) (page ports.WorkloadPage, err error) {
	if q.Fresh {
		page.Items = []domain.Workload{b.has}
	}
	return page, nil
}

func (b behind) Count(_ context.Context, q ports.WorkloadQuery) (c ports.WorkloadCount, err error) {
	if q.Fresh {
		c.N = 1
	}
	return c, nil
}

func TestBulk_ByAQueryWhileTheReplicaIsBehind_SelectsWhatIsThere(t *testing.T) {
	has := domain.Workload{}
	has.ID, has.CustomerID, has.Status = "wl_1", "cust_a", domain.StatusCompleted
	svc := lifecycle.New(lifecycle.Config{}, lifecycle.Deps{Workloads: behind{has: has}})
	p := domain.Principal{Role: domain.RoleCustomer, CustomerID: "cust_a"}
	a, err := svc.Bulk(t.Context(), p, lifecycle.BulkRequest{Operation: lifecycle.BulkRetry, DryRun: true,
		Query: &ports.WorkloadQuery{Customer: "cust_a", Limit: 10}, Restore: &domain.Restore{}})
	require.NoError(t, err)
	assert.Equal(t, 1, a.Matched)
	require.Len(t, a.Outcomes, 1)
	assert.Equal(t, has.ID, a.Outcomes[0].ID)
}
