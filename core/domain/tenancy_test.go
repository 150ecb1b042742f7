package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func TestConfigPatch_Apply_ChangesWhatIsSet(t *testing.T) {
	old := domain.WorkloadConfig{
		ID: "wlcfg_1", CustomerID: "cust_a", Type: "t", Description: "old", RunConfig: domain.DefaultRunConfig(),
		CreatedAt: epoch0,
	}
	got, err := domain.ConfigPatch{}.Apply(old, epoch0.Add(1))
	require.NoError(t, err)
	want := old
	want.UpdatedAt = epoch0.Add(1)
	assert.Equal(t, want, got)
	got, err = domain.ConfigPatch{
		Type: new("t"), Description: new("new"), Limits: domain.AmountsPatch{MemoryMB: new(9)},
		Backoff: domain.BackoffPatch{Initial: new(time.Hour)},
	}.Apply(old, epoch0.Add(1))
	require.NoError(t, err)
	want.Description, want.Limits.MemoryMB = "new", 9
	want.Backoff.Initial, want.Backoff.Max = time.Hour, time.Hour
	assert.Equal(t, want, got, "the longest wait is raised to the first one")
	for _, bad := range []domain.ConfigPatch{{Type: new("u")}, {MaxRetries: new(-1)}, {Timeout: new(-time.Second)}} {
		_, err = bad.Apply(old, epoch0)
		assert.True(t, domain.IsCode(err, domain.CodeInvalidInput))
	}
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
		k, act, err := domain.APIKey{ExpiresAt: c.expires}.Issue(operator, epoch0)
		assert.Equal(t, c.ok, err == nil, c.name)
		assert.Equal(t, epoch0, k.CreatedAt, c.name)
		assert.Equal(t, c.ok, act.Action == domain.ActionKeyCreated, c.name)
	}
}

func TestAPIKey_Revoke_KeepsTheFirstTime(t *testing.T) {
	k, _ := domain.APIKey{}.Revoke(operator, epoch0)
	assert.Equal(t, epoch0, k.RevokedAt)
	again, act := k.Revoke(operator, epoch0.Add(time.Hour))
	assert.Equal(t, k, again)
	assert.Equal(t, act.Before, act.After, "an action that changes nothing is recorded as such")
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
