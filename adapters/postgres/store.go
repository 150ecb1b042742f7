package postgres

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/niyanta/niyanta/core/ports"
)

// Store is the storage behind all store ports. It is safe for concurrent use. Close it once.
type Store struct {
	pool   *pgxpool.Pool // workloads and everything that belongs to them
	leases *pgxpool.Pool // heartbeats and the leader lease, which nothing may delay
	reads  *readers      // what clients read and must see as it is
	// history serves lists, logs and audit. It is the replica's, or reads.
	history *readers
	log     *slog.Logger
	// url and dial are those of Options, for the connection that listens.
	url  string
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	lanes   knownLanes
	choices laneChoices
	horizon horizon
	// lag is how far the replica is behind, in seconds; nil while that is not known.
	lag atomic.Pointer[float64]
}

// Stores returns the store ports on this storage.
func (s *Store) Stores() ports.Stores {
	return ports.Stores{
		Workloads: workloads{s}, Queue: queue{s}, Insight: insight{s}, Statistics: statistics{s},
		Workers: workers{s}, Fleet: fleet{s}, Checkpoints: checkpoints{s}, Customers: customers{s},
		Configs: configs{s}, Keys: keys{s}, Tickets: tickets{s}, Audit: audit{s}, AdminAudit: adminAudit{s},
		Logs: logs{s}, Events: events{s}, Answers: answers{s}, Leader: leaderLease{s}, Retention: retention{s},
		Erasure: erasure{s},
	}
}

// Present records that the coordinator is alive. Its success proves that the database takes
// writes. A query does not prove that: the database may be read-only, or its disk full.
// NotWritable tells such errors from those of a database that does not answer.
func (s *Store) Present(ctx context.Context, coordinator string) error {
	_, err := exec(ctx, s.leases, `INSERT INTO presence AS p (coordinator_id, seen_at) VALUES ($1::text, niyanta_now())
 ON CONFLICT (coordinator_id) DO UPDATE SET seen_at = excluded.seen_at`, coordinator)
	return err
}

// PingReplica returns a function that checks that the read replica answers, or nil if there is none.
// It also measures how far the replica is behind.
func (s *Store) PingReplica() func(context.Context) error {
	if s.history == s.reads {
		return nil
	}
	return s.measureLag
}

// lagSQL asks a replica how far it is behind. Coordinators write their presence every two seconds, so
// that a transaction that is older than that has not been replayed for a while. A server that is no
// replica is not behind.
const lagSQL = `SELECT CASE WHEN pg_is_in_recovery()
  THEN greatest(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()), 0) ELSE 0 END::float8`

func (s *Store) measureLag(ctx context.Context) error {
	var seconds *float64
	err := s.history.pool.QueryRow(ctx, lagSQL).Scan(&seconds)
	if err != nil || seconds == nil { // nothing has been replayed so far
		s.lag.Store(nil)
		return err
	}
	s.lag.Store(seconds)
	return nil
}

// ReplicaLag returns how far the read replica was behind when it was checked last. known is false if
// it did not answer.
func (s *Store) ReplicaLag() (lag time.Duration, known bool) {
	seconds := s.lag.Load()
	if seconds == nil {
		return 0, false
	}
	return time.Duration(*seconds * float64(time.Second)), true
}

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
	if s.history != s.reads {
		stats["replica"] = s.history.pool.Stat()
	}
	return stats
}

// Close waits until the connections in use are released, and closes all.
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
