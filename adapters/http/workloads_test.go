package http

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func TestWorkloadOut_OfAnArchivedWorkload_SaysWhenItWasArchived(t *testing.T) {
	shown := func(w domain.Workload) map[string]any {
		out := workloadOut(&w, domain.RoleCustomer)
		b, err := json.Marshal(out)
		require.NoError(t, err)
		var fields map[string]any
		require.NoError(t, json.Unmarshal(b, &fields))
		return fields
	}
	w := domain.Workload{Spec: domain.Spec{ID: "wl_a", Input: "{}"}, State: domain.State{Status: domain.StatusCompleted}}
	live := shown(w)
	assert.NotContains(t, live, "archived_at")
	w.ArchivedAt = time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	archived := shown(w)
	assert.Equal(t, "2026-03-02T01:00:00.000Z", archived["archived_at"])
	delete(archived, "archived_at")
	assert.Equal(t, live, archived, "the same shape otherwise")
}
