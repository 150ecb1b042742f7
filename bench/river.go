package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverQueue is River: a library in the harness' process, on PostgreSQL.
type riverQueue struct{ shared *shared }

func newRiver(s *shared) *riverQueue { return &riverQueue{s} }

func (*riverQueue) name() string { return "River" }

// River's fetch settings: its defaults (100 ms, 1 s) trade latency for fewer queries; these are
// tuned for both throughput and latency.
const (
	riverCooldown = 2 * time.Millisecond
	riverPoll     = 20 * time.Millisecond
	riverConns    = 20
)

func (*riverQueue) settings() []string {
	return []string{
		fmt.Sprintf("River %s in the harness' process, %d workers, fetch cooldown %s, fetch poll interval %s, %d connections",
			version("github.com/riverqueue/river"), slots, riverCooldown, riverPoll, riverConns),
		"submitted through the library (Insert, InsertManyFast in batches); completion is its own event after the commit",
	}
}

// noopArgs are the arguments of a job that does nothing.
type noopArgs struct {
	DurationMS int `json:"duration_ms"`
}

func (noopArgs) Kind() string { return "noop" }

// noopWorker counts, and tells when a job began if somebody asks.
type noopWorker struct {
	river.WorkerDefaults[noopArgs]
	worked  atomic.Int64
	started chan time.Time
}

func (w *noopWorker) Work(context.Context, *river.Job[noopArgs]) error {
	w.worked.Add(1)
	if w.started != nil {
		w.started <- time.Now()
	}
	return nil
}

// riverSet is one River client on a database of its own.
type riverSet struct {
	client   *river.Client[pgx.Tx]
	pool     *pgxpool.Pool
	worker   *noopWorker
	drop     func()
	postgres int
}

func (r *riverQueue) open(ctx context.Context) (_ *riverSet, err error) {
	url, drop, err := r.shared.database(ctx)
	if err != nil {
		return nil, err
	}
	s := &riverSet{drop: drop, worker: &noopWorker{}}
	defer func() {
		if err != nil {
			s.close(ctx)
		}
	}()
	if s.postgres, err = r.shared.postgresPID(ctx); err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = riverConns
	if s.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, err
	}
	driver := riverpgxv5.New(s.pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, s.worker)
	s.client, err = river.NewClient(driver, &river.Config{
		Logger: slog.New(slog.DiscardHandler), Workers: workers,
		Queues: map[string]river.QueueConfig{
			river.QueueDefault: {MaxWorkers: slots, FetchCooldown: riverCooldown, FetchPollInterval: riverPoll},
		},
	})
	return s, err
}

func (s *riverSet) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if s.client != nil {
		_ = s.client.StopAndCancel(ctx) // it may not have been started
	}
	if s.pool != nil {
		s.pool.Close()
	}
	s.drop()
}

func (s *riverSet) used() time.Duration { return used(s.postgres) + usedHere() }

func (s *riverSet) insertMany(ctx context.Context, size int) error {
	params := make([]river.InsertManyParams, size)
	for i := range params {
		params[i].Args = noopArgs{}
	}
	_, err := s.client.InsertManyFast(ctx, params)
	return err
}

// settle waits until n jobs were worked and none is unfinished.
func (s *riverSet) settle(ctx context.Context, n int) error {
	return until(ctx, 20*time.Millisecond, func(ctx context.Context) (done bool, err error) {
		if s.worker.worked.Load() < int64(n) {
			return false, nil
		}
		err = s.pool.QueryRow(ctx,
			"SELECT NOT EXISTS (SELECT FROM river_job WHERE state IN ('available', 'running', 'retryable'))").Scan(&done)
		return done, err
	})
}

func (s *riverSet) check(ctx context.Context, n int) (created, attempted, finalized time.Time, err error) {
	var all, done int
	err = s.pool.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE state = 'completed'
    AND attempt = 1), min(created_at),
		min(attempted_at), max(finalized_at) FROM river_job`).Scan(&all, &done, &created, &attempted, &finalized)
	if worked := int(s.worker.worked.Load()); err == nil && (all != n || done != n || worked != n) {
		err = fmt.Errorf("of %d jobs %d exist, %d completed, %d were worked", n, all, done, worked)
	}
	return created, attempted, finalized, err
}

func (r *riverQueue) drain(ctx context.Context, n int) (figures, error) {
	s, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close(ctx)
	if err := batches(ctx, n, s.insertMany); err != nil {
		return nil, err
	}
	before := s.used()
	if err := s.client.Start(ctx); err != nil {
		return nil, err
	}
	if err := s.settle(ctx, n); err != nil {
		return nil, err
	}
	spent := s.used() - before
	_, attempted, finalized, err := s.check(ctx, n)
	return figures{
		rate: float64(n) / finalized.Sub(attempted).Seconds(), processor: float64(spent.Microseconds()) / float64(n),
	}, err
}

func (r *riverQueue) steady(ctx context.Context, n int) (figures, error) {
	s, err := r.openWorking(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close(ctx)
	before := s.used()
	if err := batches(ctx, n, s.insertMany); err != nil {
		return nil, err
	}
	if err := s.settle(ctx, n+1); err != nil {
		return nil, err
	}
	spent := s.used() - before
	created, _, finalized, err := s.check(ctx, n+1)
	return figures{
		rate: float64(n) / finalized.Sub(created).Seconds(), processor: float64(spent.Microseconds()) / float64(n),
	}, err
}

// openWorking is open with a client that has proved that it works.
func (r *riverQueue) openWorking(ctx context.Context) (*riverSet, error) {
	s, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	if err = s.client.Start(ctx); err == nil {
		if err = s.insertMany(ctx, 1); err == nil {
			err = s.settle(ctx, 1)
		}
	}
	if err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

func (r *riverQueue) singles(ctx context.Context, n int) (figures, error) {
	s, err := r.openWorking(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close(ctx)
	before, began := s.used(), time.Now()
	err = spread(ctx, singleClients, n, func(ctx context.Context, _ int) error {
		_, err := s.client.Insert(ctx, noopArgs{}, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	if err := s.settle(ctx, n+1); err != nil {
		return nil, err
	}
	spent := s.used() - before
	_, _, _, err = s.check(ctx, n+1)
	return figures{rate: float64(n) / took.Seconds(), processor: float64(spent.Microseconds()) / float64(n)}, err
}

func (r *riverQueue) idle(ctx context.Context, n int) (figures, error) {
	s, err := r.openWorking(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close(ctx)
	s.worker.started = make(chan time.Time, 1)
	events, stop := s.client.Subscribe(river.EventKindJobCompleted)
	defer stop()
	var l latency
	for range n {
		time.Sleep(between)
		if _, err := s.client.Insert(ctx, noopArgs{}, nil); err != nil {
			return nil, err
		}
		inserted := time.Now()
		l.started = append(l.started, max(0, (<-s.worker.started).Sub(inserted)))
		<-events
		l.completed = append(l.completed, time.Since(inserted))
	}
	_, _, _, err = s.check(ctx, n+1)
	return l.figures(), err
}
