package servers

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// querier is a connection to a database, or a pool of them.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Traces counts the rows of a customer and its workloads in all tables that name a customer, a
// workload or a lane, as the catalogue has them. So it knows the tables of later migrations. What
// stays of a deleted customer is left out.
func Traces[C, W ~string](
	ctx context.Context, db querier, customer C, workloads []W,
) (map[string]int, error) {
	rows, err := db.Query(ctx, `SELECT c.relname::text, array_agg(a.attname::text)
 FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
  AND a.attname IN ('customer_id', 'workload_id', 'lane_id') AND c.relname NOT IN ('admin_audit', 'deleted_customers')
 GROUP BY 1`)
	if err != nil {
		return nil, err
	}
	tables := map[string][]string{}
	var table string
	var columns []string
	if _, err = pgx.ForEachRow(rows, []any{&table, &columns}, func() error {
		tables[table] = columns
		return nil
	}); err != nil {
		return nil, err
	}
	if len(tables) <= 20 {
		return nil, fmt.Errorf("the catalogue has only %d tables of customers", len(tables))
	}
	conditions := map[string]string{
		"customer_id": "customer_id = $1", "workload_id": "workload_id = ANY($2)",
		"lane_id": "starts_with(lane_id, $1 || '/')",
	}
	found := map[string]int{}
	for table, columns := range tables {
		sql := "SELECT count(*) FROM " + table + " WHERE (false AND $1::text = '' AND $2::text[] IS NULL)"
		for _, c := range columns {
			sql += " OR " + conditions[c]
		}
		var n int
		if err := db.QueryRow(ctx, sql, customer, workloads).Scan(&n); err != nil {
			return nil, fmt.Errorf("%s: %w", sql, err)
		}
		found[table] = n
	}
	return found, nil
}
