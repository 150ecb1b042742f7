package postgres

import (
	"slices"
	"strings"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// walked is the part of a statement that reads workloads in the order of a list. sql selects
// workload_id, key and the columns that rest compares. join and rest, in which sql is x, leave those
// that match.
type walked struct{ sql, join, rest string }

// ordered reads up to limit workloads in the order of the list. Each of its branches is an index
// that is read in that order. Only the branch of what is under way is sorted.
func (s *statement) ordered(q *ports.WorkloadQuery, limit int) walked {
	most := s.arg(limit, "bigint")
	branch := func(from, key, shown string, where ...string) string {
		where = append(where, s.owned(q, "w.customer_id"), s.recent(q, key), s.beyond(q, key, "w.workload_id"))
		return "(SELECT w.workload_id, " + key + " AS key, w.status, w.workload_type, w.created_at, " + shown +
			" AS shown FROM " + from + " WHERE " + and(where...) +
			" ORDER BY " + by(key, "w.workload_id", q) + " LIMIT " + most + ")"
	}
	left := *q // what the branches leave to compare
	var branches []string
	switch {
	case q.OrderBy == ports.OrderPriority:
		branches = append(branches, branch("workloads w", "w.priority", "true"))
	case q.OrderBy == ports.OrderUpdatedAt:
		if wants(q, domain.Status.Final) {
			branches = append(branches, branch("finished w", "w.finished_at", "true"))
		}
		if wants(q, domain.Status.Waiting) { // what has never run has not changed since its submission
			branches = append(branches, branch(
				"workloads w", "w.created_at", "w.generation = 0 AND w.finished_at IS NULL",
			))
		}
		if wants(q, unfinished) {
			branches = append(branches, branch(
				"("+s.begun(q)+") b JOIN workloads w USING (workload_id)", "w.updated_at", "true",
			))
		}
	case !wants(q, unfinished):
		for _, status := range q.Statuses {
			branches = append(branches, branch(
				"finished w", "w.created_at", "true", "w.status = "+s.arg(string(status), "text"), s.created(q, "w.created_at"),
			))
		}
		left.Statuses = nil
	default:
		branches = append(branches, branch(
			"workloads w", "w.created_at", "true", s.typed(q, "w.workload_type"), s.created(q, "w.created_at"),
		))
		left.Type = ""
	}
	out := walked{sql: branches[0]}
	if len(branches) > 1 {
		out.sql = "(SELECT * FROM (" + strings.Join(branches, " UNION ALL ") + ") u ORDER BY " +
			by("key", "workload_id", q) + " LIMIT " + most + ")"
	}
	out.rest = and(
		"x.shown", s.statuses(&left, "x.status"), s.typed(&left, "x.workload_type"), s.labelled(&left, "s.labels"),
	)
	if q.OrderBy != ports.OrderCreatedAt {
		out.rest = and(out.rest, s.created(q, "x.created_at"))
	}
	if len(q.Labels) > 0 {
		out.join = " JOIN workload_specs s USING (workload_id)"
	}
	return out
}

// source selects the ids of all workloads that one filter of a query selects, and perhaps of others.
type source func(s *statement, q *ports.WorkloadQuery) string

// sources returns the sources that may have few, other than the index that ordered reads.
func sources(q *ports.WorkloadQuery) (all []source) {
	walksFinished := q.OrderBy == ports.OrderCreatedAt && !wants(q, unfinished)
	if len(q.Statuses) > 0 && !walksFinished {
		all = append(all, (*statement).inStatuses)
	}
	if q.Type != "" && (q.OrderBy != ports.OrderCreatedAt || walksFinished) {
		all = append(all, (*statement).ofType)
	}
	if from, until := q.CreatedRange(); q.OrderBy != ports.OrderCreatedAt && (!from.IsZero() || !until.IsZero()) {
		all = append(all, (*statement).inRange)
	}
	if len(q.Labels) > 0 {
		all = append(all, (*statement).withLabels)
	}
	return all
}

// withLabels reads the index of the terms, of which several labels or customers may share one.
func (s *statement) withLabels(q *ports.WorkloadQuery) string {
	return "SELECT s.workload_id FROM workload_specs s WHERE s.label_terms @> " +
		s.arg(labelTerms(q.Customer, q.Labels), "bigint[]")
}

func (s *statement) ofType(q *ports.WorkloadQuery) string {
	return "SELECT w.workload_id FROM workloads w WHERE " +
		and(s.owned(q, "w.customer_id"), s.typed(q, "w.workload_type"), s.created(q, "w.created_at"))
}

func (s *statement) inRange(q *ports.WorkloadQuery) string {
	return "SELECT w.workload_id FROM workloads w WHERE " +
		and(s.owned(q, "w.customer_id"), s.created(q, "w.created_at"))
}

// inStatuses selects what is in the statuses of the query.
func (s *statement) inStatuses(q *ports.WorkloadQuery) string {
	all := s.narrow(q, "")
	if wants(q, domain.Status.Final) {
		finished := and(s.owned(q, "customer_id"), s.statuses(q, "status"), s.created(q, "created_at"))
		all = strings.TrimPrefix(all+" UNION ALL SELECT workload_id FROM finished WHERE "+finished, " UNION ALL ")
	}
	return all
}

// narrow reads the narrow tables of what is unfinished. A workload is in exactly one of them. waits
// restricts what waits.
func (s *statement) narrow(q *ports.WorkloadQuery, waits string) string {
	var tables []string
	from := func(table, where string) { tables = append(tables, "SELECT workload_id FROM "+table+" WHERE "+where) }
	if wants(q, domain.Status.Waiting) {
		lanes := and(s.inLanes(q), waits)
		from("waiting", lanes)
		from("delayed", lanes)
	}
	if wants(q, domain.Status.Held) {
		from("held", s.owned(q, "customer_id"))
	}
	if wants(q, func(s domain.Status) bool { return s == domain.StatusPaused }) {
		from("paused", s.owned(q, "customer_id"))
	}
	return strings.Join(tables, " UNION ALL ")
}

// begun selects what has begun and not finished, of the statuses that the query selects.
func (s *statement) begun(q *ports.WorkloadQuery) string {
	return s.narrow(q, "generation > 0")
}

// inLanes selects the lanes of the customer. A lane's id begins with its customer's and '/'; the
// character after '/' is '0'.
func (s *statement) inLanes(q *ports.WorkloadQuery) string {
	id := s.arg(string(q.Customer), "text")
	return "lane_id > " + id + " || '/' AND lane_id < " + id + " || '0'"
}

func unfinished(s domain.Status) bool { return !s.Final() }

// wants reports whether the query selects a status of the kind.
func wants(q *ports.WorkloadQuery, kind func(domain.Status) bool) bool {
	return len(q.Statuses) == 0 || slices.ContainsFunc(q.Statuses, kind)
}
