package postgres

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/niyanta/niyanta/core/ports"
)

// statement builds the text of a statement. Values travel as arguments; only constants enter the
// text.
type statement struct{ args []any }

func (s *statement) arg(v any, pgType string) string {
	s.args = append(s.args, v)
	return fmt.Sprintf("$%d::%s", len(s.args), pgType)
}

// and joins conditions, of which some may be empty.
func and(conditions ...string) string {
	return strings.Join(slices.DeleteFunc(conditions, func(c string) bool { return c == "" }), " AND ")
}

// The conditions of a query, each on the column of the given name. A condition is empty if the
// query does not have it.

func (s *statement) owned(q *ports.WorkloadQuery, column string) string {
	return column + " = " + s.arg(string(q.Customer), "text")
}

func (s *statement) statuses(q *ports.WorkloadQuery, column string) string {
	if len(q.Statuses) == 0 {
		return ""
	}
	return column + " = ANY(" + s.arg(texts(q.Statuses), "text[]") + ")"
}

func (s *statement) typed(q *ports.WorkloadQuery, column string) string {
	if q.Type == "" {
		return ""
	}
	return column + " = " + s.arg(q.Type, "text")
}

func (s *statement) created(q *ports.WorkloadQuery, column string) string {
	var both []string
	from, until := q.CreatedRange()
	if !from.IsZero() {
		both = append(both, column+" >= "+s.arg(from, "timestamptz"))
	}
	if !until.IsZero() {
		both = append(both, column+" < "+s.arg(until, "timestamptz"))
	}
	return strings.Join(both, " AND ")
}

func (s *statement) labelled(q *ports.WorkloadQuery, column string) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(q.Labels)) {
		all = append(all, column+" ->> "+s.arg(k, "text")+" = "+s.arg(q.Labels[k], "text"))
	}
	return strings.Join(all, " AND ")
}

// recent is the condition that a list by time of change has.
func (s *statement) recent(q *ports.WorkloadQuery, column string) string {
	if q.OrderBy != ports.OrderUpdatedAt {
		return ""
	}
	return column + " >= niyanta_now() - " + s.arg(ports.UpdatedWindow.Microseconds(), "bigint") +
		" * interval '1 microsecond'"
}

// beyond is the condition that a workload comes after the cursor, empty if there is none.
func (s *statement) beyond(q *ports.WorkloadQuery, key, id string) string {
	if q.After == nil {
		return ""
	}
	compare := "<"
	if q.Ascending {
		compare = ">"
	}
	var value string
	if q.OrderBy == ports.OrderPriority {
		value = s.arg(q.After.Priority, "integer")
	} else {
		value = s.arg(q.After.Time, "timestamptz")
	}
	return fmt.Sprintf("(%s, %s) %s (%s, %s)", key, id, compare, value, s.arg(string(q.After.ID), "text"))
}

// key returns the column of workloads by which the list is ordered.
func key(q *ports.WorkloadQuery) string {
	switch q.OrderBy {
	case ports.OrderPriority:
		return "w.priority"
	case ports.OrderUpdatedAt:
		return "w.updated_at"
	case ports.OrderCreatedAt:
	}
	return "w.created_at"
}

// by returns the order of the list.
func by(key, id string, q *ports.WorkloadQuery) string {
	direction := " DESC"
	if q.Ascending {
		direction = " ASC"
	}
	return key + direction + ", " + id + direction
}

// fewOf begins a statement that looks among the few workloads of a source.
func (s *statement) fewOf(q *ports.WorkloadQuery, from source) string {
	return "WITH few AS MATERIALIZED (" + from(s, q) + ") "
}

// matching selects those of the few that match the query and come after its cursor.
func (s *statement) matching(q *ports.WorkloadQuery) string {
	tables := " FROM few JOIN workloads w USING (workload_id)"
	if len(q.Labels) > 0 {
		tables += " JOIN workload_specs s USING (workload_id)"
	}
	return tables + " WHERE " + and(s.owned(q, "w.customer_id"), s.statuses(q, "w.status"), s.typed(q, "w.workload_type"),
		s.created(q, "w.created_at"), s.labelled(q, "s.labels"), s.recent(q, key(q)), s.beyond(q, key(q), "w.workload_id"))
}
