package postgres

import (
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// lines are the log lines of a batch on their way into the tables, in order, and how many each workload has.
type lines struct {
	all []domain.LogLine
	n   map[domain.WorkloadID]int64
	// place is where each line stands among those of its workload, from 1.
	place []int64
}

// add takes the lines of a transition that was applied.
func (l *lines) add(t *domain.Transition) {
	for _, line := range t.Lines {
		if l.n == nil {
			l.n = map[domain.WorkloadID]int64{}
		}
		l.n[t.WorkloadID]++
		line.WorkloadID, line.Generation = t.WorkloadID, t.Generation
		l.all, l.place = append(l.all, line), append(l.place, l.n[t.WorkloadID])
	}
}

// queueLines numbers and stores the lines, and drops the oldest of their workloads beyond the bound. The rows of the workloads are
// locked, so that their numbers are given out by one transaction at a time.
func (t *tx) queueLines(l lines) {
	if len(l.all) == 0 {
		return
	}
	type line = domain.LogLine
	ids, counts := make([]string, 0, len(l.n)), make([]int64, 0, len(l.n))
	for id, n := range l.n {
		ids, counts = append(ids, string(id)), append(counts, n)
	}
	t.queue(`WITH p AS (
  INSERT INTO log_positions AS p (workload_id, last_seq) SELECT * FROM unnest($1::text[], $2::bigint[])
  ON CONFLICT (workload_id) DO UPDATE SET last_seq = p.last_seq + excluded.last_seq RETURNING p.workload_id, p.last_seq),
 u AS (SELECT * FROM unnest($1::text[], $2::bigint[]) AS u(workload_id, n))
 INSERT INTO workload_logs (workload_id, seq, generation, at, level, stream, message)
 SELECT l.workload_id, p.last_seq - u.n + l.place, l.generation, l.at, l.level, l.stream, l.message
 FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::text[], $8::text[], $9::text[])
  AS l(workload_id, place, generation, at, level, stream, message) JOIN p USING (workload_id) JOIN u USING (workload_id)`,
		ids, counts,
		each(l.all, func(l line) string { return string(l.WorkloadID) }), l.place,
		each(l.all, func(l line) int64 { return l.Generation }), each(l.all, func(l line) time.Time { return l.At }),
		each(l.all, func(l line) string { return l.Level }), each(l.all, func(l line) string { return l.Stream }),
		each(l.all, func(l line) string { return l.Message }))
	t.queue(`DELETE FROM workload_logs l USING log_positions p
 WHERE p.workload_id = ANY($1::text[]) AND l.workload_id = p.workload_id AND l.seq <= p.last_seq - $2::bigint`, ids, domain.MaxLogLines)
}
