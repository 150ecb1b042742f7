package auditing_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/auditing"
)

type hand struct{ now time.Time }

func (h *hand) Now() time.Time { return h.now }

// failing is a store that records nothing while it fails.
type failing struct {
	ports.AdminAuditStore
	err error
}

func (f *failing) Record(ctx context.Context, es []domain.AdminEvent) error {
	if f.err != nil {
		return f.err
	}
	return f.AdminAuditStore.Record(ctx, es)
}

func readOf(key domain.KeyID, workload, operation string) domain.AdminEvent {
	return domain.Admin{KeyID: key}.Asked(domain.ActionWorkloadRead,
		domain.Target{Kind: domain.TargetWorkload, ID: workload}, "cust_a", operation)
}

func TestRecordRead_OfTheSame_IsRecordedOnceInAWhile(t *testing.T) {
	clock := &hand{time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	store := &failing{AdminAuditStore: memory.NewStore(clock).Stores().AdminAudit}
	s := auditing.New(auditing.Deps{AdminAudit: store, Clock: clock})
	recorded := func() int {
		events, err := s.List(t.Context(), ports.AdminAuditQuery{Limit: 100_000})
		require.NoError(t, err)
		return len(events)
	}
	store.err = errors.New("the store is disconnected")
	require.Error(t, s.RecordRead(t.Context(), readOf("key_a", "wl_1", "getWorkload")), "then nothing is answered")
	store.err = nil
	for range 5 {
		require.NoError(t, s.RecordRead(t.Context(), readOf("key_a", "wl_1", "getWorkload")))
	}
	require.Equal(t, 1, recorded(), "a read that was not recorded is not taken for one that was")
	require.NoError(t, s.RecordRead(t.Context(), readOf("key_b", "wl_1", "getWorkload")))
	require.NoError(t, s.RecordRead(t.Context(), readOf("key_a", "wl_2", "getWorkload")))
	require.NoError(t, s.RecordRead(t.Context(), readOf("key_a", "wl_1", "getWorkloadLogs")))
	require.Equal(t, 4, recorded(), "another key, workload or operation")
	clock.now = clock.now.Add(10*time.Minute - time.Second)
	require.NoError(t, s.RecordRead(t.Context(), readOf("key_a", "wl_1", "getWorkload")))
	require.Equal(t, 4, recorded())
	clock.now = clock.now.Add(time.Second)
	require.NoError(t, s.RecordRead(t.Context(), readOf("key_a", "wl_1", "getWorkload")))
	require.Equal(t, 5, recorded())
	for i := range 10_000 {
		require.NoError(t, s.RecordRead(t.Context(), readOf("key_a", fmt.Sprint("wl_of_many_", i), "getWorkload")))
	}
	require.NoError(t, s.RecordRead(t.Context(), readOf("key_a", "wl_1", "getWorkload")))
	require.Equal(t, 10_006, recorded(), "what is remembered is bounded")
}
