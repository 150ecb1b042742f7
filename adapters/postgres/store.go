package postgres

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/niyanta/niyanta/core/ports"
)

// Store is the storage behind all store ports. It is safe for concurrent use. Close it once.
type Store struct {
	pool   *pgxpool.Pool // workloads and everything that belongs to them
	leases *pgxpool.Pool // heartbeats and the leader lease, which nothing may delay
	reads  *readers      // what clients read and must see as it is
	// replicas serve lists, logs and audit while they may; otherwise reads does.
	replicas *replicas
	log      *slog.Logger
	// url and dial are those of Options, for the connection that listens.
	url  string
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	// shown are the certificates of the connections to the primary.
	shown certificates

	lanes   knownLanes
	choices laneChoices
	horizon horizon
}

// Stores returns the store ports on this storage.
func (s *Store) Stores() ports.Stores {
	return ports.Stores{
		Workloads: workloads{s}, Queue: queue{s}, Insight: insight{s}, Statistics: statistics{s},
		Workers: workers{s}, Fleet: fleet{s}, Checkpoints: checkpoints{s}, Uploads: uploads{s}, Customers: customers{s},
		Configs: configs{s}, Keys: keys{s}, Tickets: tickets{s}, Audit: audit{s}, AdminAudit: adminAudit{s},
		Logs: logs{s}, Events: events{s}, Answers: answers{s}, Leader: leaderLease{s}, Retention: retention{s},
		Erasure: erasure{s},
	}
}

// Present records that the coordinator is alive. Its success proves that the database takes
// writes. A query does not prove that: the database may be read-only, or its disk full.
// NotWritable tells such errors from those of a database that does not answer.
func (s *Store) Present(ctx context.Context, coordinator string) error {
	began := time.Now()
	seen, err := queryOne[time.Time](ctx, s.leases, `INSERT INTO presence AS p (coordinator_id, seen_at)
 VALUES ($1::text, niyanta_now()) ON CONFLICT (coordinator_id) DO UPDATE SET seen_at = excluded.seen_at
 RETURNING seen_at`, coordinator)
	if err == nil {
		s.replicas.mark(coordinator, began, seen)
	}
	return err
}

// PingReplica returns a function that checks that all read replicas can serve, or nil if there is
// none. It also measures how far they are behind.
func (s *Store) PingReplica() func(context.Context) error {
	if len(s.replicas.list) == 0 {
		return nil
	}
	return s.replicas.check
}

// ReplicaLag returns how far the read replica that is the last was behind when it was checked last.
// known is false if none answered.
func (s *Store) ReplicaLag() (lag time.Duration, known bool) { return s.replicas.lagging() }

// Maintain prepares the audit partitions of the coming months, and deletes tokens of commits that
// nobody asks for any more and coordinators that have not been seen for a day. Any number of
// coordinators may call it.
func (s *Store) Maintain(ctx context.Context) error {
	const prepare = "SELECT niyanta_prepare_months('audit', 2), niyanta_prepare_months('workload_archive', 2)"
	if _, err := exec(ctx, s.pool, prepare); err != nil {
		return err
	}
	if _, err := exec(ctx, s.pool, "DELETE FROM presence WHERE seen_at < niyanta_now() - interval '1 day'"); err != nil {
		return err
	}
	_, err := exec(
		ctx, s.pool, "DELETE FROM commits WHERE committed_at < statement_timestamp() - interval '10 minutes'",
	)
	return err
}

// Stats returns the statistics of the pools, by name.
func (s *Store) Stats() map[string]*pgxpool.Stat {
	stats := map[string]*pgxpool.Stat{"main": s.pool.Stat(), "leases": s.leases.Stat(), "reads": s.reads.pool.Stat()}
	for _, r := range s.replicas.list {
		stats[r.name] = r.pool.Stat()
	}
	return stats
}

// Close waits until the connections in use are released, and closes all.
func (s *Store) Close() {
	if s.replicas != nil {
		s.replicas.close()
	}
	if s.reads != nil {
		s.reads.pool.Close()
	}
	for _, p := range []*pgxpool.Pool{s.pool, s.leases} {
		if p != nil {
			p.Close()
		}
	}
}
