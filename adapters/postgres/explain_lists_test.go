//go:build explain

package postgres_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	fewRows = 1_000
	// listRows is how many workloads the largest customer has waiting, and as many finished.
	// EXPLAIN_ROWS replaces it.
	listRows = 1_000_000
	// pageBound is what a page may cost that examines as many workloads as it may.
	pageBound = 150 * time.Millisecond
)

// listCase is a list whose cost is compared between a small and a large customer.
type listCase struct {
	name string
	q    ports.WorkloadQuery
	// bounded marks a list that examines as many workloads as it may. It is compared with the bound
	// instead of with the list of the small customer.
	bounded bool
}

func listCases() (all []listCase) {
	statuses := func(s ...domain.Status) []domain.Status { return s }
	completed, failed := domain.StatusCompleted, domain.StatusFailed
	add := func(name string, bounded bool, q ports.WorkloadQuery) {
		q.Limit = 50
		all = append(all, listCase{name, q, bounded})
	}
	label := func(k, v string) map[string]string { return map[string]string{k: v} }
	for _, by := range []ports.OrderBy{ports.OrderCreatedAt, ports.OrderPriority, ports.OrderUpdatedAt} {
		o := " by " + string(by)
		add("newest"+o, false, ports.WorkloadQuery{OrderBy: by})
		add("oldest"+o, false, ports.WorkloadQuery{OrderBy: by, Ascending: true})
		add("PENDING"+o, false, ports.WorkloadQuery{OrderBy: by, Statuses: statuses(domain.StatusPending)})
		add("COMPLETED"+o, by == ports.OrderPriority, ports.WorkloadQuery{OrderBy: by, Statuses: statuses(completed)})
		add("FAILED and CANCELLED"+o, by == ports.OrderPriority, ports.WorkloadQuery{
			OrderBy: by, Statuses: statuses(failed, domain.StatusCancelled),
		})
		add("RUNNING, of which there are 5"+o, false, ports.WorkloadQuery{
			OrderBy: by, Statuses: statuses(domain.StatusRunning),
		})
		add("unknown type"+o, false, ports.WorkloadQuery{OrderBy: by, Type: "unknown"})
		add("type that exists once"+o, false, ports.WorkloadQuery{OrderBy: by, Type: "once"})
		add("label of all"+o, false, ports.WorkloadQuery{OrderBy: by, Labels: label("env", "prod")})
		add("label of none"+o, false, ports.WorkloadQuery{OrderBy: by, Labels: label("env", "none")})
		add("label of 5"+o, false, ports.WorkloadQuery{OrderBy: by, Labels: label("rare", "yes")})
		add("label of every 500th"+o, true, ports.WorkloadQuery{OrderBy: by, Labels: label("some", "yes")})
		add("FAILED of a type of which none failed"+o, true, ports.WorkloadQuery{
			OrderBy: by, Statuses: statuses(failed), Type: "v",
		})
		add("offset of 10,000"+o, true, ports.WorkloadQuery{OrderBy: by, Offset: 10_000})
		add("offset of 10,000, label of all"+o, true, ports.WorkloadQuery{
			OrderBy: by, Offset: 10_000, Labels: label("env", "prod"),
		})
		add("offset of 10,000, label of every 500th"+o, true, ports.WorkloadQuery{
			OrderBy: by, Offset: 10_000, Labels: label("some", "yes"),
		})
	}
	return all
}

// TestHotStatements_OfLists_CostTheSameAtAnySize compares each list between a customer with 1,000
// waiting and 1,000 finished workloads and one with 1,000,000 of each, in one database.
func TestHotStatements_OfLists_CostTheSameAtAnySize(t *testing.T) {
	rows := listRows
	if s := os.Getenv("EXPLAIN_ROWS"); s != "" {
		var err error
		rows, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	c, err := servers.StartPostgres(true, "max_wal_size=8GB", "shared_buffers=2GB")
	require.NoError(t, err)
	t.Cleanup(c.Remove)
	_, err = postgres.MigrateUp(t.Context(), c.SocketURL("postgres"), silent)
	require.NoError(t, err)
	for customer, n := range map[string]int{"cust_few": fewRows, "cust_many": rows} {
		seedLists(t, c, "postgres", customer, n)
		seedRunning(t, c, "postgres", customer, 5)
	}
	c.Exec(t, "postgres", "VACUUM ANALYZE")
	store := open(t, c.SocketURL("postgres")).Stores().Workloads
	fmt.Fprintf(os.Stdout, "| list | 1,000 | %[1]d | found | counted, 1,000 | %[1]d | count |\n"+
		"|---|---|---|---|---|---|---|\n", rows)
	for _, l := range listCases() {
		measure := func(read func() (string, error)) (time.Duration, string) {
			var took [5]time.Duration
			var answer string
			for i := range took {
				begun := time.Now()
				found, err := read()
				took[i], answer = time.Since(begun), found
				if err != nil {
					answer = err.Error()
				}
			}
			slices.Sort(took[:])
			return took[2], answer
		}
		list := func(customer domain.CustomerID) (time.Duration, string) {
			l.q.Customer = customer
			return measure(func() (string, error) {
				p, err := store.List(t.Context(), l.q)
				return fmt.Sprintf("%d, more: %v", len(p.Items), p.Next != nil), err
			})
		}
		count := func(customer domain.CustomerID) (time.Duration, string) {
			l.q.Customer = customer
			return measure(func() (string, error) {
				c, err := store.Count(t.Context(), l.q)
				return fmt.Sprintf("%d, estimated: %v", c.N, c.Estimated), err
			})
		}
		few, _ := list("cust_few")
		many, found := list("cust_many")
		fewCounted, _ := count("cust_few")
		manyCounted, counted := count("cust_many")
		fmt.Fprintf(os.Stdout, "| %s | %.2f ms | %.2f ms | %s | %.2f ms | %.2f ms | %s |\n",
			l.name, ms(few), ms(many), found, ms(fewCounted), ms(manyCounted), counted)
		assert.Less(t, manyCounted, pageBound, "count of "+l.name)
		if l.bounded {
			assert.Less(t, many, pageBound, l.name)
		} else {
			assert.Less(t, many, 2*few+time.Millisecond, l.name)
		}
	}
}
