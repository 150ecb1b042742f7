package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// soakShare is the part of the measured peak that a soak submits.
	soakShare = 0.7
	// soakPulse is the time between two batches of a soak.
	soakPulse = 100 * time.Millisecond
)

// hotTables hold what waits and runs. Their size must not grow with what has finished.
var hotTables = []string{"waiting", "delayed", "held", "ending", "paused", "queue_bounds", "count_deltas", "commits"}

// soak works at a part of the peak for a long time. In the middle a session holds an old snapshot, as a
// backup or a forgotten transaction does, so that nothing can be vacuumed.
func (c *capacity) soak(ctx context.Context) error {
	peak, err := c.steady(ctx, c.o.steady)
	if err != nil {
		return err
	}
	perSecond := soakShare * peak[rate]
	s, err := c.openWorking(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	minutes := int(c.o.soak / time.Minute)
	from, to := minutes/2, minutes/2+min(3, max(1, minutes/4))
	c.say("\n## A long time\n")
	c.say("%.0f no-op workloads per second, %.0f %% of the steady peak, for %d minutes. The time is from the",
		perSecond, 100*soakShare, minutes)
	c.say("submission to the commit of the completion. A session holds an old snapshot from minute %d to %d.\n",
		from+1, to)
	c.say("| minute | completed | p50 ms | p99 ms | hot tables, MiB | all tables, MiB |\n|---|---|---|---|---|---|")
	submitting, stop := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() { failed <- s.pulse(submitting, int(perSecond*soakPulse.Seconds())) }()
	defer func() { stop(); <-failed }()
	var old *pgx.Conn
	for minute := range minutes {
		switch minute {
		case from:
			if old, err = holdSnapshot(ctx, s.db.Config().ConnString()); err != nil {
				return err
			}
		case to:
			if err := old.Close(ctx); err != nil {
				return err
			}
		}
		if err := errors.Join(sleep(ctx, time.Minute), c.minute(ctx, s, minute+1)); err != nil {
			return err
		}
		select {
		case err := <-failed:
			failed <- err
			return fmt.Errorf("submitting: %w", err)
		default:
		}
	}
	return nil
}

// minute adds a row about the last minute.
func (c *capacity) minute(ctx context.Context, s *set, n int) error {
	var completed int
	var p50, p99, hot, all float64
	err := s.db.QueryRow(ctx, `SELECT count(*), coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY took), 0),
		coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY took), 0)
		FROM (SELECT extract(epoch FROM finished_at - created_at) * 1000 AS took FROM finished
			WHERE finished_at > now() - interval '1 minute') f`).Scan(&completed, &p50, &p99)
	if err != nil {
		return err
	}
	err = s.db.QueryRow(ctx, `SELECT sum(pg_total_relation_size(oid)) FILTER (WHERE relname = ANY ($1)) / 1048576.0,
		sum(pg_total_relation_size(oid)) / 1048576.0 FROM pg_class
		WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace`, hotTables).Scan(&hot, &all)
	c.say("| %d | %d | %.1f | %.1f | %.1f | %.0f |", n, completed, p50, p99, hot, all)
	return err
}

// pulse submits a batch each soakPulse until ctx ends, whether the ones before are answered or not.
func (s *set) pulse(ctx context.Context, size int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	ticks := time.NewTicker(soakPulse)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		}
		wg.Go(func() {
			if err := s.submitBatch(ctx, size); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
}

// holdSnapshot begins a transaction that sees the database as it is now. It ends with its connection.
func holdSnapshot(ctx context.Context, url string) (*pgx.Conn, error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	for _, statement := range strings.Split("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM waiting", "; ") {
		if _, err := c.Exec(ctx, statement); err != nil {
			return nil, errors.Join(err, c.Close(ctx))
		}
	}
	return c, nil
}
