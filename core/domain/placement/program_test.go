package placement_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

func TestPlan_Program_GoesOnlyWhereItIsOffered(t *testing.T) {
	with, without := worker(1, 5, "exec", "exec:ffmpeg"), worker(2, 5, "exec", "exec:sh")
	none := worker(3, 5, "sleep")
	spec := func(input string) *domain.Spec {
		return &domain.Spec{
			ID: "wl_1", CustomerID: "a", Type: "exec", Input: domain.JSON(input), Run: domain.DefaultRunConfig(),
		}
	}
	ffmpeg := domain.NewLane(spec(`{"command":["ffmpeg"]}`))
	s := placement.Snapshot{Workers: []domain.Worker{without, none}}
	e := placement.NewExplainer(s)
	assert.False(t, e.Placeable(&ffmpeg))
	assert.Equal(t, "no worker can run it: its type is not offered; none offers exec:ffmpeg", e.Unplaceable(&ffmpeg))
	assert.Equal(t, []placement.Reason{
		{
			Code: placement.ReasonMissingTypes, Workers: 1, Message: "1 worker not offering exec:ffmpeg",
			WorkerIDs: named(without.ID),
		},
		{
			Code: placement.ReasonMissingType, Workers: 1, Message: `1 worker not offering type "exec"`,
			WorkerIDs: named(none.ID),
		},
	}, e.Explain(&ffmpeg))
	s.Workers = append(s.Workers, with)
	p := placement.NewPlanner(s)
	p.Add(domain.LaneHeads{Lane: ffmpeg, Heads: []domain.Candidate{{ID: "wl_1", QueueAt: time.Unix(1, 0)}}})
	plan, _ := p.Plan(10)
	require.Len(t, plan, 1)
	assert.Equal(t, with.ID, plan[0].WorkerID)
	bare := domain.NewLane(spec(`{}`))
	assert.NotEqual(t, bare.ID, ffmpeg.ID)
	assert.NotEqual(t, domain.NewLane(spec(`{"command":["sh"]}`)).ID, ffmpeg.ID)
	assert.Equal(t, domain.NewLane(spec(`{"command":["ffmpeg","other"]}`)).ID, ffmpeg.ID, "arguments do not matter")
}
