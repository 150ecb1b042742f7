package lifecycle

import (
	"context"
	"errors"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

// The delays after which a submission that found the queue full may be tried again. queueFullRetry
// applies while the throughput is not known.
const (
	queueFullRetry    = 5 * time.Second
	queueFullRetryMin = time.Second
	queueFullRetryMax = 300 * time.Second
)

func errQueueFull(q domain.QueueUse) error {
	return domain.Unavailable(queueFullRetry, "the queue of this customer is full: %d of at most %d workloads wait",
		q.Depth, q.Max).With("queue_depth", q.Depth).With("max_queue_depth", q.Max)
}

// sayWhenRoom sets when the refused submissions may be tried again. full are their indices in
// outcomes. The nth may come when the queue has drained by n workloads, so that they do not all
// come back for the first free place.
func (s *Service) sayWhenRoom(ctx context.Context, customer domain.CustomerID, outcomes []SubmitOutcome, full []int) {
	if len(full) == 0 {
		return
	}
	read, err := s.throughput.Do(ctx, struct{}{})
	if err != nil {
		return // keep the default
	}
	for i, place := range full {
		var e *domain.Error
		d, ok := placement.DrainTime(read[0], s.deps.Clock.Now(), customer, i+1)
		if ok && errors.As(outcomes[place].Err, &e) {
			e.RetryAfter = min(max(d, queueFullRetryMin), queueFullRetryMax)
		}
	}
}

// readThroughput reads the throughput once for all submissions that are refused at the same time.
func (s *Service) readThroughput(ctx context.Context, asked []struct{}) ([]domain.Throughput, error) {
	t, err := s.deps.Insight.Throughput(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]domain.Throughput, len(asked))
	for i := range out {
		out[i] = t
	}
	return out, nil
}
