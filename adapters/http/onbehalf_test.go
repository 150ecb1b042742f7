package http

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/auditing"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// halfDown has the workload wl_a of cust_a and wl_b of cust_b, and fails to read for down.
type halfDown struct {
	ports.WorkloadStore
	down domain.CustomerID
}

func (s halfDown) Get(
	_ context.Context, of domain.CustomerID, ids ...domain.WorkloadID,
) (out []domain.Workload, _ error) {
	if of == s.down {
		return nil, domain.Unavailable(0, "the store is disconnected")
	}
	for _, id := range ids {
		out = append(out, domain.Workload{Spec: domain.Spec{ID: id, CustomerID: of}})
	}
	return out, nil
}

func (s halfDown) GetBrief(
	ctx context.Context, of domain.CustomerID, ids ...domain.WorkloadID,
) ([]domain.Workload, error) {
	return s.Get(ctx, of, ids...)
}

// owners gives the workload wl_x to the customer cust_x.
type owners struct{ ports.RetentionStore }

func (owners) Owners(
	_ context.Context, _ time.Duration, ids ...domain.WorkloadID,
) (map[domain.WorkloadID]domain.CustomerID, error) {
	out := map[domain.WorkloadID]domain.CustomerID{}
	for _, id := range ids {
		out[id] = domain.CustomerID("cust" + id[2:])
	}
	return out, nil
}

func TestBulkIDs_WhenTheStoreFailsForALaterCustomer_TellsWhatHasHappened(t *testing.T) {
	bulk := func(down domain.CustomerID) (lifecycle.BulkAnswer, error) {
		a := &api{Deps: Deps{
			Lifecycle: lifecycle.New(lifecycle.Config{}, lifecycle.Deps{
				Workloads: halfDown{down: down}, Retention: owners{}, Clock: system.Clock{},
			}),
			Auditing: auditing.New(auditing.Deps{AdminAudit: forgetful{}, Clock: system.Clock{}}),
		}}
		s := newSurface(t)
		op, found := s.api.ops.of("POST", "/v1/workloads/batch/cancel")
		require.True(t, found)
		ctx := context.WithValue(t.Context(), keyScope, &scope{
			principal: domain.Principal{Role: domain.RoleAdmin, KeyID: "key_ada"}, op: op,
		})
		return a.bulkIDs(ctx, lifecycle.BulkRequest{
			Operation: lifecycle.BulkCancel, IDs: []domain.WorkloadID{"wl_b", "wl_a"}, DryRun: true,
		})
	}
	answer, err := bulk("cust_b")
	require.NoError(t, err)
	require.Len(t, answer.Outcomes, 2)
	for _, o := range answer.Outcomes {
		require.Equal(t, o.ID == "wl_b", domain.IsCode(o.Err, domain.CodeUnavailable), "%+v", o)
	}
	_, err = bulk("cust_a")
	require.True(t, domain.IsCode(err, domain.CodeUnavailable), "nothing has happened: %v", err)
}
