package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func TestWorkloadConfig_Revise_ChangesAllButTypeAndIdentity(t *testing.T) {
	old := domain.WorkloadConfig{ID: "wlcfg_1", CustomerID: "cust_a", Type: "t", Description: "old", CreatedAt: epoch0}
	next := domain.WorkloadConfig{
		ID: "wlcfg_2", CustomerID: "cust_b", Type: "t", Description: "new", RunConfig: domain.DefaultRunConfig(),
	}
	got, err := old.Revise(next, epoch0.Add(1))
	require.NoError(t, err)
	want := old
	want.Description, want.RunConfig, want.UpdatedAt = "new", next.RunConfig, epoch0.Add(1)
	assert.Equal(t, want, got)
	next.Type = "u"
	_, err = old.Revise(next, epoch0)
	assert.True(t, domain.IsCode(err, domain.CodeInvalidInput))
}

func TestCheckUnused(t *testing.T) {
	require.NoError(t, domain.CheckUnused(0))
	var e *domain.Error
	require.ErrorAs(t, domain.CheckUnused(2), &e)
	assert.Equal(t, domain.CodeConflict, e.Code)
	assert.Equal(t, 2, e.Details["unfinished"])
}

func TestAPIKey_Issue(t *testing.T) {
	for _, c := range []struct {
		name    string
		expires time.Time
		ok      bool
	}{
		{"never expires", time.Time{}, true}, {"in the future", epoch0.Add(1), true},
		{"now", epoch0, false}, {"past", epoch0.Add(-1), false},
	} {
		k, err := domain.APIKey{ExpiresAt: c.expires}.Issue(epoch0)
		assert.Equal(t, c.ok, err == nil, c.name)
		assert.Equal(t, epoch0, k.CreatedAt, c.name)
	}
}

func TestAPIKey_Revoke_KeepsTheFirstTime(t *testing.T) {
	k := domain.APIKey{}.Revoke(epoch0)
	assert.Equal(t, epoch0, k.RevokedAt)
	assert.Equal(t, k, k.Revoke(epoch0.Add(time.Hour)))
}

func TestTransition_SavesCheckpoint(t *testing.T) {
	for _, r := range domain.Rules() {
		tr := domain.Transition{Event: r.Event}
		assert.Equal(t, r.Event == domain.EventCheckpoint, tr.SavesCheckpoint() == nil, r.Event)
	}
}

func TestCheckpoint_SavedBy_TakesItsIdentityFromTheTransition(t *testing.T) {
	tr := domain.Transition{WorkloadID: "wl_1", CheckpointSequence: 4, Generation: 2}
	got := domain.Checkpoint{WorkloadID: "forged", Sequence: 9, Generation: 9, Size: 5}.SavedBy(&tr, epoch0)
	assert.Equal(t, domain.Checkpoint{WorkloadID: "wl_1", Sequence: 4, Generation: 2, Size: 5, CreatedAt: epoch0}, got)
}

func TestCheckEpoch(t *testing.T) {
	require.NoError(t, domain.CheckEpoch(3, 3))
	for _, c := range [][2]int64{{2, 3}, {4, 3}, {0, 0}, {-1, -1}, {1, 0}} {
		assert.True(t, domain.IsCode(domain.CheckEpoch(c[0], c[1]), domain.CodeFenced), c)
	}
}
