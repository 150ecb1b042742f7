//go:build explain

package postgres_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// scanBound is how many pages a list may read that examines as many workloads as it may.
const scanBound = 10 * ports.ScanLimit

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

// TestHotStatements_OfLists_CostTheSameAtAnySize compares what each list reads between a customer with 1,000
// waiting and 1,000 finished workloads and one with many of each, in one database.
func TestHotStatements_OfLists_CostTheSameAtAnySize(t *testing.T) {
	rows := *explainRows
	c, m := startMetered(t)
	database := c.EmptyDatabase(t)
	_, err := postgres.MigrateUp(t.Context(), c.SocketURL(database), silent)
	require.NoError(t, err)
	for customer, n := range map[string]int{"cust_few": fewRows, "cust_many": rows} {
		seedLists(t, c, database, customer, n)
		seedRunning(t, c, database, customer, 5)
	}
	c.Exec(t, database, "VACUUM ANALYZE")
	store := open(t, c.SocketURL(database)).Stores().Workloads
	fmt.Fprintf(os.Stdout, "| list | pages, 1,000 | %[1]d | found | took | counted: pages, 1,000 | %[1]d | count | "+
		"took |\n|---|---|---|---|---|---|---|---|---|\n", rows)
	for _, l := range listCases() {
		var answer string
		var took time.Duration
		measure := func(read func() (string, error)) int {
			return m.pages(t, func() error {
				begun := time.Now()
				found, err := read()
				took, answer = time.Since(begun), found
				if domain.IsCode(err, domain.CodeInvalidInput) { // an offset too far
					answer, err = err.Error(), nil
				}
				return err
			})
		}
		list := func(customer domain.CustomerID) int {
			l.q.Customer = customer
			return measure(func() (string, error) {
				p, err := store.List(t.Context(), l.q)
				return fmt.Sprintf("%d, more: %v", len(p.Items), p.Next != nil), err
			})
		}
		count := func(customer domain.CustomerID) int {
			l.q.Customer = customer
			return measure(func() (string, error) {
				c, err := store.Count(t.Context(), l.q)
				return fmt.Sprintf("%d, estimated: %v", c.N, c.Estimated), err
			})
		}
		few := list("cust_few")
		many := list("cust_many")
		found, listTook := answer, took
		fewCounted := count("cust_few")
		manyCounted := count("cust_many")
		fmt.Fprintf(os.Stdout, "| %s | %d | %d | %s | %.2f ms | %d | %d | %s | %.2f ms |\n",
			l.name, few, many, found, ms(listTook), fewCounted, manyCounted, answer, ms(took))
		assert.LessOrEqual(t, manyCounted, scanBound, "count of "+l.name)
		if l.bounded {
			assert.LessOrEqual(t, many, scanBound, l.name)
		} else {
			assert.LessOrEqual(t, many, 2*few+indexDepth, l.name)
		}
	}
}
