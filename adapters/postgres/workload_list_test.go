package postgres_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// manyRows is more than a page may examine.
const manyRows = ports.ScanLimit + 2_000

// lists is a database with a customer that has more of everything than a page may examine.
type lists struct {
	*testing.T
	ports.WorkloadStore
}

func newLists(t *testing.T) (*lists, *servers.Postgres, string) {
	t.Helper()
	c := servers.SharedPostgres(t, prepare)
	db := c.Database(t)
	seedLists(t, c, db, "cust_many", manyRows)
	c.Exec(t, db, "ANALYZE")
	return &lists{t, open(t, c.SocketURL(db)).Stores().Workloads}, c, db
}

func (l *lists) list(q ports.WorkloadQuery) ports.WorkloadPage {
	l.Helper()
	q.Customer, q.Limit = "cust_many", 50
	p, err := l.List(l.Context(), q)
	require.NoError(l, err)
	return p
}

func (l *lists) count(q ports.WorkloadQuery) ports.WorkloadCount {
	l.Helper()
	q.Customer = "cust_many"
	c, err := l.Count(l.Context(), q)
	require.NoError(l, err)
	return c
}

func ids(p ports.WorkloadPage) (all []domain.WorkloadID) {
	for i := range p.Items {
		all = append(all, p.Items[i].ID)
	}
	return all
}

func TestList_WhenAFilterAloneSelectsFew_IsExactInEveryOrder(t *testing.T) {
	l, c, db := newLists(t)
	seedRunning(t, c, db, "cust_many", 3)
	sent := map[string]string{"sent": "by the store"}
	_, err := l.Submit(t.Context(), []domain.Submission{{Spec: domain.Spec{
		ID: "wl_sent", CustomerID: "cust_many", Type: "t", Input: "{}", Labels: sent,
	}}})
	require.NoError(t, err)
	for _, by := range []ports.OrderBy{ports.OrderCreatedAt, ports.OrderPriority, ports.OrderUpdatedAt} {
		for name, f := range map[string]struct {
			q    ports.WorkloadQuery
			want []domain.WorkloadID
		}{
			"label": {
				ports.WorkloadQuery{Labels: map[string]string{"rare": "yes"}},
				[]domain.WorkloadID{
					"wl_cust_many_000000001", "wl_cust_many_000000002", "wl_cust_many_000000003", "wl_cust_many_000000004",
					"wl_cust_many_000000005",
				},
			},
			"label and status": {
				ports.WorkloadQuery{
					Labels: map[string]string{"rare": "yes"}, Statuses: []domain.Status{domain.StatusCompleted},
				},
				[]domain.WorkloadID{"wl_cust_many_000000003", "wl_cust_many_000000005"},
			},
			"label of the newest, from the oldest on": {
				ports.WorkloadQuery{Labels: sent, Ascending: true}, []domain.WorkloadID{"wl_sent"},
			},
			"label of nothing": {ports.WorkloadQuery{Labels: map[string]string{"rare": "no"}}, nil},
			"type":             {ports.WorkloadQuery{Type: "once"}, []domain.WorkloadID{"wl_cust_many_000000001"}},
			"unknown type":     {ports.WorkloadQuery{Type: "none"}, nil},
			"status": {
				ports.WorkloadQuery{Statuses: []domain.Status{domain.StatusRunning, domain.StatusPaused}},
				[]domain.WorkloadID{"wl_cust_many_000000002", "wl_cust_many_000000004", "wl_cust_many_000000006"},
			},
		} {
			f.q.OrderBy = by
			p := l.list(f.q)
			assert.ElementsMatch(t, f.want, ids(p), "%s by %s", name, by)
			assert.Nil(t, p.Next, "%s by %s", name, by)
			assert.Equal(t, ports.WorkloadCount{N: len(f.want)}, l.count(f.q), "%s by %s", name, by)
		}
	}
}

// No filter alone is selective, but nothing matches both, or only the oldest does.
func TestList_WhenFiltersMatchRarelyTogether_EndsEarlyAndGoesOn(t *testing.T) {
	l, c, db := newLists(t)
	// As many of a type and of a status as a page may not examine, and nothing of both but one.
	c.Exec(t, db, `UPDATE workloads SET workload_type = CASE WHEN finished_at IS NULL THEN 'v' ELSE 't' END`,
		`UPDATE finished SET workload_type = 't'`,
		`UPDATE workloads SET workload_type = 'v' WHERE workload_id = 'wl_cust_many_000000003'`,
		`UPDATE finished SET workload_type = 'v' WHERE workload_id = 'wl_cust_many_000000003'`)
	for _, by := range []ports.OrderBy{ports.OrderCreatedAt, ports.OrderPriority, ports.OrderUpdatedAt} {
		q := ports.WorkloadQuery{
			OrderBy: by, Type: "v", Statuses: []domain.Status{domain.StatusCompleted, domain.StatusFailed},
		}
		p := l.list(q)
		assert.True(t, l.count(q).Estimated, by)
		var found []domain.WorkloadID
		pages := 1
		for ; p.Next != nil; pages++ {
			require.Less(t, len(p.Items), 50, "%s: a page that is not full goes on", by)
			require.Less(t, pages, 5, by)
			found = append(found, ids(p)...)
			q.After = p.Next
			p = l.list(q)
		}
		assert.Greater(t, pages, 1, by)
		assert.Equal(t, []domain.WorkloadID{"wl_cust_many_000000003"}, append(found, ids(p)...), by)

		q.After, q.Offset, q.Customer, q.Limit = nil, 5, "cust_many", 50
		_, err := l.List(t.Context(), q)
		assert.Equal(t, domain.CodeInvalidInput, domain.CodeOf(err), by)
		require.ErrorContains(t, err, "offset")
	}
}

func TestList_WhenMoreMatchThanAreExamined_EstimatesTheTotal(t *testing.T) {
	l, _, _ := newLists(t)
	for name, f := range map[string]struct {
		q    ports.WorkloadQuery
		want int
	}{
		"all":           {ports.WorkloadQuery{}, 2 * manyRows},
		"label of all":  {ports.WorkloadQuery{Labels: map[string]string{"env": "prod"}}, 2 * manyRows},
		"COMPLETED":     {ports.WorkloadQuery{Statuses: []domain.Status{domain.StatusCompleted}}, manyRows * 9 / 10},
		"PENDING":       {ports.WorkloadQuery{Statuses: []domain.Status{domain.StatusPending}}, manyRows},
		"all, deep":     {ports.WorkloadQuery{Offset: 10_000}, 2 * manyRows},
		"some, deep":    {ports.WorkloadQuery{Type: "t", Offset: 10_000}, 2 * manyRows * 19 / 20},
		"by priority":   {ports.WorkloadQuery{OrderBy: ports.OrderPriority, Type: "t"}, 2 * manyRows * 19 / 20},
		"by updated_at": {ports.WorkloadQuery{OrderBy: ports.OrderUpdatedAt}, 2 * manyRows},
	} {
		assert.Len(t, l.list(f.q).Items, 50, name)
		c := l.count(f.q)
		assert.InDelta(t, f.want, c.N, float64(f.want)/10, name)
		assert.True(t, c.Estimated, name)
	}
}

// How many are newer than a place is exact while few are, and estimated from there on.
func TestCount_AfterAPlace_IsExactWhileFewFollow(t *testing.T) {
	l, _, _ := newLists(t)
	for _, by := range []ports.OrderBy{ports.OrderCreatedAt, ports.OrderUpdatedAt} {
		q := ports.WorkloadQuery{OrderBy: by}
		q.After = l.list(q).Next
		newer := ports.WorkloadQuery{OrderBy: by, Ascending: true, After: q.After}
		assert.Equal(t, ports.WorkloadCount{N: 49}, l.count(newer), by)
		q.Offset, q.After = 10_000, nil
		newer.After = l.list(q).Next
		c := l.count(newer)
		assert.True(t, c.Estimated, by)
		assert.InDelta(t, 10_049, c.N, 2_500, by) // counts are by the hour
	}
}

func TestList_ByUpdatedAtWhenVeryManyHaveBegun_IsRefusedUnlessFiltered(t *testing.T) {
	l, c, db := newLists(t)
	seedRunning(t, c, db, "cust_many", ports.ScanLimit+1)
	q := ports.WorkloadQuery{Customer: "cust_many", Limit: 10, OrderBy: ports.OrderUpdatedAt}
	_, err := l.List(t.Context(), q)
	assert.Equal(t, domain.CodeInvalidInput, domain.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "order_by")
	q.Statuses = []domain.Status{domain.StatusFailed}
	p, err := l.List(t.Context(), q)
	require.NoError(t, err)
	assert.Len(t, p.Items, 10)
	q.Statuses, q.Type = nil, "once"
	p, err = l.List(t.Context(), q)
	require.NoError(t, err)
	assert.Len(t, p.Items, 1)
}

// What was stored before the migration is found by its labels and its final status.
func TestMigrate_FinishedDownAndUp_KeepsWhatListsFind(t *testing.T) {
	l, c, db := newLists(t)
	url := c.SocketURL(db)
	for version := int64(100); version >= 18; {
		var err error
		version, err = postgres.MigrateDown(context.Background(), url, silent)
		require.NoError(t, err)
		require.NotZero(t, version)
	}
	_, err := postgres.MigrateUp(t.Context(), url, silent)
	require.NoError(t, err)
	p := l.list(ports.WorkloadQuery{Labels: map[string]string{"rare": "yes", "env": "prod"}})
	assert.Len(t, p.Items, 5)
	assert.Nil(t, p.Next)
	q := ports.WorkloadQuery{Statuses: []domain.Status{domain.StatusFailed}}
	assert.Len(t, l.list(q).Items, 50)
	assert.Equal(t, ports.WorkloadCount{N: manyRows / 10}, l.count(q))
}
