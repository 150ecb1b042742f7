package live_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/live"
)

const acme = domain.CustomerID("cust_acme")

type clock struct{}

func (clock) Now() time.Time { return time.Now() }

// deaf is a bus that loses every update.
type deaf struct{ ports.Listener }

func (deaf) Updates(context.Context, ports.Followed, func(ports.Update)) (ports.Subscription, error) {
	return deaf{}, nil
}

func (deaf) Close() error { return nil }

// finder finds workloads in a store.
type finder struct{ ports.WorkloadStore }

func (f finder) Find(
	ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID,
) ([]domain.Workload, error) {
	return f.Get(ctx, customer, ids...)
}

// next returns the next events of a stream, or none if it does not wake.
func next(t *testing.T, st *live.Stream) []domain.StreamEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	events, err := st.Next(ctx)
	if err != nil {
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	return events
}

func TestStreams_WhenEveryHintIsLost_TellWhatHappenedAfterTheNextTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.NewStore(clock{}).Stores()
		_, err := s.Customers.Create(t.Context(),
			domain.Customer{ID: acme, Name: "A", Tier: domain.TierPremium}, domain.Admin{KeyID: "key_admin"})
		require.NoError(t, err)
		submit := func(id domain.WorkloadID) {
			rs, err := s.Workloads.Submit(t.Context(), []domain.Submission{{Spec: domain.Spec{
				ID: id, CustomerID: acme, Type: "t", Input: "{}", Run: domain.DefaultRunConfig(),
			}}})
			require.NoError(t, err)
			require.Equal(t, domain.Admitted, rs[0].Status)
		}
		submit("wl_followed")
		service := live.New(live.Deps{Events: s.Events, Workloads: finder{s.Workloads}, Listener: deaf{}, Clock: clock{}})
		streams := map[string]*live.Stream{}
		streams["workload"], err = service.Workload(t.Context(), acme, "wl_followed", nil)
		require.NoError(t, err)
		streams["customer"], err = service.Customer(t.Context(), acme, nil)
		require.NoError(t, err)
		streams["all"], err = service.All(t.Context(), nil)
		require.NoError(t, err)
		for what, st := range streams {
			defer st.Close()
			require.Len(t, next(t, st), map[string]int{"workload": 1}[what], "%s: what was there before", what)
		}
		for n, event := range []domain.Event{domain.EventCancel, ""} {
			if event == "" {
				delete(streams, "workload") // it has ended
				submit(domain.WorkloadID(fmt.Sprint("wl_later", n)))
			} else {
				_, err = s.Workloads.Apply(t.Context(), domain.Batch{Transitions: []domain.Transition{
					{WorkloadID: "wl_followed", CustomerID: acme, Event: event},
				}})
				require.NoError(t, err)
			}
			for what, st := range streams {
				require.Empty(t, next(t, st), "%s: nothing woke it", what)
			}
			require.NoError(t, service.Tick(t.Context()))
			for what, st := range streams {
				require.Len(t, next(t, st), 1, what)
			}
			require.NoError(t, service.Tick(t.Context()))
			for what, st := range streams {
				if what != "workload" {
					require.Empty(t, next(t, st), "%s: nothing more happened", what)
				}
			}
		}
	})
}
