package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/ports/mocks"
)

// queryTime is how long a read of the store takes.
const queryTime = time.Millisecond

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

// polled is a service whose store counts its reads. Worker n has session n; session 7 has ended.
func polled(t *testing.T) (s *Service, lists, queues *atomic.Int64) {
	t.Helper()
	ctrl := gomock.NewController(t)
	workers, queue := mocks.NewMockWorkerStore(ctrl), mocks.NewMockQueueStore(ctrl)
	lists, queues = &atomic.Int64{}, &atomic.Int64{}
	workers.EXPECT().List(gomock.Any(), gomock.Any()).DoAndReturn(func(
		_ context.Context, ids ...domain.WorkerID,
	) (ws []domain.Worker, _ error) {
		lists.Add(1)
		time.Sleep(queryTime)
		for _, id := range ids {
			session := domain.SessionID(id)
			if id == "7" {
				session = "another"
			}
			ws = append(ws, domain.Worker{ID: id, SessionID: session, Status: domain.WorkerHealthy})
		}
		return ws, nil
	}).AnyTimes()
	queue.EXPECT().Unstarted(gomock.Any(), gomock.Any(), gomock.Any(), gomock.Any()).DoAndReturn(func(
		context.Context, time.Duration, domain.WorkloadID, int,
	) ([]ports.HeldWorkload, error) {
		queues.Add(1)
		time.Sleep(queryTime)
		return nil, nil
	}).AnyTimes()
	g := &gated{gate: map[domain.WorkerID]chan struct{}{}, calls: map[domain.WorkerID]int{}}
	return New(Config{}, Deps{
		Workers: workers, Queue: queue, Listener: g, Clock: wallClock{}, Log: slog.New(slog.DiscardHandler),
	}), lists, queues
}

// Many workers may wait for work over HTTP. They read the store together, not each for itself.
func TestPoll_OfManyWorkers_ReadsTheStoreForAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count, wait = 400, 2 * time.Second
		s, lists, queues := polled(t)
		var wg sync.WaitGroup
		for n := range count {
			wg.Go(func() {
				id := fmt.Sprint(n)
				ref := ports.SessionRef{WorkerID: domain.WorkerID(id), SessionID: domain.SessionID(id)}
				time.Sleep(time.Duration(n) * storeReadInterval / count) // they don't begin together
				began := time.Now()
				commands, err := s.Poll(t.Context(), ref, wait)
				assert.Empty(t, commands)
				if n == 7 {
					assert.Equal(t, domain.CodeFenced, domain.CodeOf(err))
					return
				}
				assert.Equal(t, domain.Code(""), domain.CodeOf(err))
				assert.GreaterOrEqual(t, time.Since(began), wait)
			})
		}
		wg.Wait()
		rounds := int64(wait/storeReadInterval) + 1
		require.LessOrEqual(t, lists.Load(), count*rounds/2, "each worker for itself reads %d times", count*rounds)
		require.LessOrEqual(t, queues.Load(), count*rounds/2)
	})
}

// A poll that is shorter than the interval ends in time.
func TestPoll_ShorterThanTheInterval_EndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := polled(t)
		began := time.Now()
		_, err := s.Poll(t.Context(), ports.SessionRef{WorkerID: "1", SessionID: "1"}, 20*time.Millisecond)
		require.NoError(t, err)
		require.Less(t, time.Since(began), storeReadInterval)
	})
}
