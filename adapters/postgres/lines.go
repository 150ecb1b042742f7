package postgres

import (
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

var (
	lineTable = table[domain.LogLine]{"workload_logs", []column[domain.LogLine]{
		text("workload_id", func(l *domain.LogLine) *domain.WorkloadID { return &l.WorkloadID }),
		bigint("seq", func(l *domain.LogLine) *int64 { return &l.Seq }),
		bigint("generation", func(l *domain.LogLine) *int64 { return &l.Generation }),
		instant("at", func(l *domain.LogLine) *time.Time { return &l.At }),
		text("level", func(l *domain.LogLine) *string { return &l.Level }),
		text("stream", func(l *domain.LogLine) *string { return &l.Stream }),
		text("message", func(l *domain.LogLine) *string { return &l.Message }),
		text("details", func(l *domain.LogLine) *domain.JSON { return &l.Details }),
	}}

	// insertLines numbers the lines of a workload ($9) after those that it has. $10 is how many
	// lines are added to it, and seq the place of a line among them.
	insertLines = `WITH added AS (SELECT * FROM unnest($9::text[], $10::bigint[]) AS a(workload_id, n)),
 p AS (INSERT INTO log_positions AS p (workload_id, last_seq) SELECT * FROM added
  ON CONFLICT (workload_id) DO UPDATE SET last_seq = p.last_seq + excluded.last_seq RETURNING p.workload_id, p.last_seq)
 INSERT INTO workload_logs (` + lineTable.names("") + `)
  SELECT ` + lineTable.each(func(c *column[domain.LogLine], _ int) string {
		if c.name == "seq" {
			return "p.last_seq - added.n + u.seq"
		}
		return c.value()
	}) + ` FROM ` + lineTable.rows() + ` JOIN p USING (workload_id) JOIN added USING (workload_id)`
)

// lines collects the log lines of a batch, in order, and counts them for each workload.
type lines struct {
	all []*domain.LogLine
	n   map[domain.WorkloadID]int64
}

// add takes the lines of an applied transition. Their Seq is their place among the lines of the
// same workload.
func (l *lines) add(t *domain.Transition) {
	for _, line := range t.Lines {
		if l.n == nil {
			l.n = map[domain.WorkloadID]int64{}
		}
		l.n[t.WorkloadID]++
		line.WorkloadID, line.Generation, line.Seq = t.WorkloadID, t.Generation, l.n[t.WorkloadID]
		l.all = append(l.all, &line)
	}
}

// queueLines numbers and stores the lines, and deletes the oldest of their workloads beyond the
// limit. The rows of the workloads are locked, so that one transaction at a time numbers lines.
func (t *tx) queueLines(l lines) {
	if len(l.all) == 0 {
		return
	}
	ids, counts := make([]string, 0, len(l.n)), make([]int64, 0, len(l.n))
	for id, n := range l.n {
		ids, counts = append(ids, string(id)), append(counts, n)
	}
	t.queue(insertLines, append(lineTable.args(l.all), ids, counts)...)
	t.queue(`DELETE FROM workload_logs l USING log_positions p
 WHERE p.workload_id = ANY($1::text[]) AND l.workload_id = p.workload_id
    AND l.seq <= p.last_seq - $2::bigint`, ids, domain.MaxLogLines)
}
