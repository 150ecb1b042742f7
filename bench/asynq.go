package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
)

// asynqQueue is Asynq: a library in the harness' process, on Redis.
type asynqQueue struct{ shared *shared }

func newAsynq(s *shared) *asynqQueue { return &asynqQueue{s} }

func (*asynqQueue) name() string { return "Asynq" }

const (
	// asynqConcurrency is how many handlers run at once; more only contend for Redis.
	asynqConcurrency = 100
	// asynqCheck is how often an idle server looks for tasks; the default is 1 s.
	asynqCheck = 10 * time.Millisecond
)

func (*asynqQueue) settings() []string {
	return []string{
		fmt.Sprintf("Asynq %s in the harness' process on Redis, concurrency %d, task check interval %s",
			version("github.com/hibiken/asynq"),
			asynqConcurrency, asynqCheck),
		"submitted through the library, one at a time (it has no batches); Redis syncs its file every second, so a " +
			"crash loses up to a second of acknowledged work",
	}
}

// asynqSet is one Asynq server on an empty Redis.
type asynqSet struct {
	client    *asynq.Client
	server    *asynq.Server
	inspector *asynq.Inspector
	running   bool
	worked    atomic.Int64
	started   chan time.Time
	redis     int
}

func (a *asynqQueue) open(ctx context.Context) (*asynqSet, error) {
	if err := a.shared.emptyRedis(ctx); err != nil {
		return nil, err
	}
	opt := asynq.RedisClientOpt{Addr: a.shared.redisAt, PoolSize: asynqConcurrency + singleClients}
	return &asynqSet{
		client: asynq.NewClient(opt), inspector: asynq.NewInspector(opt), redis: a.shared.redis.cmd.Process.Pid,
		server: asynq.NewServer(opt, asynq.Config{
			Concurrency: asynqConcurrency, TaskCheckInterval: asynqCheck, LogLevel: asynq.FatalLevel,
		}),
	}, nil
}

func (s *asynqSet) start() error {
	err := s.server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		s.worked.Add(1)
		if s.started != nil {
			s.started <- time.Now()
		}
		return nil
	}))
	s.running = err == nil
	return err
}

func (s *asynqSet) close() {
	if s.running {
		s.server.Shutdown()
	}
	_, _ = s.client.Close(), s.inspector.Close()
}

func (s *asynqSet) used() time.Duration { return used(s.redis) + usedHere() }

// keep is how long a completed task can be counted.
const keep = time.Hour

func (s *asynqSet) enqueue(ctx context.Context) error {
	_, err := s.client.EnqueueContext(ctx, asynq.NewTask("noop", []byte(`{"duration_ms":0}`)), asynq.Retention(keep))
	return err
}

// enqueueMany enqueues a batch, one task after the other.
func (s *asynqSet) enqueueMany(ctx context.Context, n int) error {
	return spread(ctx, singleClients, n, func(ctx context.Context, _ int) error { return s.enqueue(ctx) })
}

// settle waits until n tasks are done.
func (s *asynqSet) settle(ctx context.Context, n int) error {
	return until(ctx, 10*time.Millisecond, func(context.Context) (bool, error) {
		if s.worked.Load() < int64(n) {
			return false, nil
		}
		q, err := s.inspector.GetQueueInfo("default")
		return err == nil && q.Completed == n, err
	})
}

func (s *asynqSet) check(n int) error {
	q, err := s.inspector.GetQueueInfo("default")
	if worked := int(s.worked.Load()); err == nil && (q.Completed != n || q.Size != n || worked != n) {
		err = fmt.Errorf("of %d tasks %d completed, %d are kept, %d were worked", n, q.Completed, q.Size, worked)
	}
	return err
}

func (a *asynqQueue) drain(ctx context.Context, n int) (figures, error) {
	s, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.enqueueMany(ctx, n); err != nil {
		return nil, err
	}
	before, began := s.used(), time.Now()
	if err := s.start(); err != nil {
		return nil, err
	}
	return s.finish(ctx, n, began, before)
}

// finish waits for the end of n tasks and returns the figures of a phase that began then.
func (s *asynqSet) finish(ctx context.Context, n int, began time.Time, before time.Duration) (figures, error) {
	if err := s.settle(ctx, n); err != nil {
		return nil, err
	}
	took, spent := time.Since(began), s.used()-before
	return figures{
		rate: float64(n) / took.Seconds(), processor: float64(spent.Microseconds()) / float64(n),
	}, s.check(n)
}

func (a *asynqQueue) steady(ctx context.Context, n int) (figures, error) {
	s, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.start(); err != nil {
		return nil, err
	}
	before, began := s.used(), time.Now()
	if err := s.enqueueMany(ctx, n); err != nil {
		return nil, err
	}
	return s.finish(ctx, n, began, before)
}

func (a *asynqQueue) singles(ctx context.Context, n int) (figures, error) {
	s, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.start(); err != nil {
		return nil, err
	}
	before, began := s.used(), time.Now()
	if err := s.enqueueMany(ctx, n); err != nil {
		return nil, err
	}
	took := time.Since(began)
	f, err := s.finish(ctx, n, began, before)
	if err == nil {
		f[rate] = float64(n) / took.Seconds() // of the submissions alone, as for the others
	}
	return f, err
}

func (a *asynqQueue) idle(ctx context.Context, n int) (figures, error) {
	s, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.started = make(chan time.Time, 1)
	if err := s.start(); err != nil {
		return nil, err
	}
	var l latency
	for i := range n {
		time.Sleep(between)
		if err := s.enqueue(ctx); err != nil {
			return nil, err
		}
		enqueued := time.Now()
		l.started = append(l.started, max(0, (<-s.started).Sub(enqueued)))
		if err := until(ctx, time.Millisecond, func(context.Context) (bool, error) {
			q, err := s.inspector.GetQueueInfo("default")
			return err == nil && q.Completed == i+1, err
		}); err != nil {
			return nil, err
		}
		l.completed = append(l.completed, time.Since(enqueued))
	}
	return l.figures(), s.check(n)
}
