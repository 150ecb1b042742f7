package postgres

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/niyanta/niyanta/core/ports"
)

// Store is the storage behind all store ports. Safe for concurrent use. Close it once.
type Store struct {
	pool   *pgxpool.Pool // workloads and everything that belongs to them
	leases *pgxpool.Pool // heartbeats and the leader lease, which nothing may delay
	reads  *readers      // what clients read and must see as it is
	// history is lists, logs and audit: the replica's, or reads.
	history *readers
	log     *slog.Logger

	lanes   knownLanes
	choices laneChoices
}

// Workloads is the port to workloads.
func (s *Store) Workloads() ports.WorkloadStore { return workloads{s} }

// Queue is the leader's view of them.
func (s *Store) Queue() ports.QueueStore { return queue{s} }

// Insight is what people ask about the queue.
func (s *Store) Insight() ports.InsightStore { return insight{s} }

// Workers is the port to workers.
func (s *Store) Workers() ports.WorkerStore { return workers{s} }

// Fleet is what operators and time do to workers.
func (s *Store) Fleet() ports.FleetStore { return fleet{s} }

// Checkpoints is the port to checkpoints.
func (s *Store) Checkpoints() ports.CheckpointStore { return checkpoints{s} }

// Customers is the port to customers.
func (s *Store) Customers() ports.CustomerStore { return customers{s} }

// Configs is the port to workload configs.
func (s *Store) Configs() ports.ConfigStore { return configs{s} }

// Keys is the port to API keys.
func (s *Store) Keys() ports.KeyStore { return keys{s} }

// Audit is the port to audit events.
func (s *Store) Audit() ports.AuditStore { return audit{s} }

// Logs is the port to workload logs.
func (s *Store) Logs() ports.LogStore { return logs{s} }

// Leader is the port to the leader lease.
func (s *Store) Leader() ports.LeaderLease { return leaderLease{s} }

// Present writes that the coordinator is there. That it succeeds tells that the database takes writes, which an answer to a query
// doesn't: it may be read-only, or its disk full. NotWritable tells such errors from those of a database that is away.
func (s *Store) Present(ctx context.Context, coordinator string) error {
	_, err := exec(ctx, s.leases, `INSERT INTO presence AS p (coordinator_id, seen_at) VALUES ($1::text, niyanta_now())
 ON CONFLICT (coordinator_id) DO UPDATE SET seen_at = excluded.seen_at`, coordinator)
	return err
}

// PingReplica tells whether the read replica answers; nil where there is none.
func (s *Store) PingReplica() func(context.Context) error {
	if s.history == s.reads {
		return nil
	}
	return s.history.pool.Ping
}

// Maintain does what needs doing now and then: it prepares the audit partitions of the coming months and forgets the tokens of
// commits that nobody asks for any more, and coordinators that are long gone. Any number of coordinators may call it.
func (s *Store) Maintain(ctx context.Context) error {
	if _, err := exec(ctx, s.pool, "SELECT niyanta_prepare_months(2)"); err != nil {
		return err
	}
	if _, err := exec(ctx, s.pool, "DELETE FROM presence WHERE seen_at < niyanta_now() - interval '1 day'"); err != nil {
		return err
	}
	_, err := exec(ctx, s.pool, "DELETE FROM commits WHERE committed_at < statement_timestamp() - interval '10 minutes'")
	return err
}

// Stats are the pools' figures, by pool.
func (s *Store) Stats() map[string]*pgxpool.Stat {
	stats := map[string]*pgxpool.Stat{"main": s.pool.Stat(), "leases": s.leases.Stat(), "reads": s.reads.pool.Stat()}
	if s.history != s.reads {
		stats["replica"] = s.history.pool.Stat()
	}
	return stats
}

// Close closes all connections, when those in use are given back.
func (s *Store) Close() {
	for _, r := range []*readers{s.history, s.reads} {
		if r != nil {
			r.pool.Close()
		}
	}
	for _, p := range []*pgxpool.Pool{s.pool, s.leases} {
		if p != nil {
			p.Close()
		}
	}
}
