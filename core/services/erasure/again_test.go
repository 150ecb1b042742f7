package erasure_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/archiving"
	"github.com/niyanta/niyanta/core/services/erasure"
)

// erased is the audit of deletions that have ended.
type erased struct {
	ports.AdminAuditStore
	events []domain.AdminEvent
	reads  int
}

func (e *erased) List(_ context.Context, q ports.AdminAuditQuery) (out []domain.AdminEvent, err error) {
	e.reads++
	for i := range e.events {
		if q.Selects(&e.events[i]) && len(out) < q.Limit {
			out = append(out, e.events[i])
		}
	}
	return out, nil
}

func (e *erased) add(id string, at time.Time) {
	e.events = append(e.events, domain.Customer{ID: domain.CustomerID(id)}.Erased(domain.Admin{}, at))
	e.events[len(e.events)-1].ID = int64(len(e.events))
}

// blobs fails to list what a test names.
type blobs struct {
	*memory.Blobs
	broken string
}

func (b *blobs) List(ctx context.Context, prefix, after string, limit int) ([]domain.Blob, error) {
	if b.broken != "" && strings.Contains(prefix, b.broken) {
		return nil, errors.New("the storage is away")
	}
	return b.Blobs.List(ctx, prefix, after, limit)
}

func objectOf(id string) string {
	return "workloads/month=2026-03/customer=" + id + "/00001.jsonl.zst"
}

func TestErasure_WhenAStalledLeaderEndsItsWriteAfterTheDeletion_RemovesTheLinesWithinADay(t *testing.T) {
	audit, storage := &erased{}, &blobs{Blobs: memory.NewBlobs(contracttests.NewClock(time.Unix(0, 0)))}
	s, c := serviceWith(t, true, erasure.Deps{
		Erasure: &store{}, Audit: audit, Archive: archiving.New(archiving.Deps{Blobs: storage}),
	})
	tick := func() {
		_, err := s.Tick(t.Context())
		require.NoError(t, err)
	}
	write := func(ids ...string) {
		for _, id := range ids {
			_, err := storage.Put(t.Context(), objectOf(id), strings.NewReader("x"), "")
			require.NoError(t, err)
		}
	}
	left := func() (keys []string) {
		all, err := storage.List(t.Context(), "workloads/", "", 1000)
		require.NoError(t, err)
		for _, b := range all {
			keys = append(keys, b.Key)
		}
		return keys
	}
	audit.add("cust_old", c.now.Add(-31*24*time.Hour))
	for n := range 45 {
		audit.add(fmt.Sprintf("cust_%02d", n), c.now.Add(-time.Hour))
		write(fmt.Sprintf("cust_%02d", n))
	}
	write("cust_kept", "cust_old")
	tick()
	require.Len(t, left(), 47, "it may not lead for long")
	assert.Zero(t, audit.reads)
	c.now = c.now.Add(59 * time.Minute)
	tick()
	require.Len(t, left(), 47)
	c.now = c.now.Add(time.Minute)
	for range 3 {
		tick()
	}
	assert.Equal(t, 3, audit.reads)
	assert.Equal(t, []string{objectOf("cust_kept"), objectOf("cust_old")}, left())

	write("cust_44")
	tick()
	c.now = c.now.Add(23 * time.Hour)
	tick()
	assert.Equal(t, 3, audit.reads, "once a day")
	c.now = c.now.Add(time.Hour)
	storage.broken = "cust_00"
	_, err := s.Tick(t.Context())
	require.ErrorContains(t, err, "remove the lines of customer cust_00 again: the storage is away")
	tick()
	tick()
	assert.Equal(t, []string{objectOf("cust_kept"), objectOf("cust_old")}, left(), "the others are looked after")

	storage.broken = ""
	write("cust_00")
	c.now = c.now.Add(time.Hour)
	tick()
	assert.Equal(t, []string{objectOf("cust_kept"), objectOf("cust_old")}, left(), "it is tried again in an hour")
}
