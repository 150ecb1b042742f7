package domain_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// first is a lane of customer "c" whose first workload has waited so many minutes.
func first(n, priority, minutes int, hard map[string]string) domain.FirstOfLane {
	l := domain.NewLane(&domain.Spec{
		CustomerID: "c", Type: fmt.Sprint("t", n), Priority: priority,
		Affinity: domain.Affinity{Hard: domain.AffinityTerms{WorkerTags: hard}},
	})
	return domain.FirstOfLane{Lane: l, Since: epoch0.Add(-time.Duration(minutes) * time.Minute)}
}

func TestChoose_MoreLanesThanTheLimit_ChoosesHalfByWaitAndHalfByPlace(t *testing.T) {
	var lanes []domain.FirstOfLane
	for n := range 1000 {
		lanes = append(lanes, first(n, 1000-n, n, nil)) // the higher the priority, the shorter the wait
	}
	q := domain.HeadsQuery{Policy: domain.PolicyPriority}
	chosen, aside := q.Choose(lanes, domain.TierEnterprise)
	require.Len(t, chosen, domain.LanesOfCustomer)
	assert.Zero(t, aside)
	assert.IsIncreasing(t, chosen)
	for n := range 100 {
		assert.Contains(t, chosen, lanes[n].Lane.ID, "by its place in the queue")
		assert.Contains(t, chosen, lanes[999-n].Lane.ID, "by its wait")
	}
	q.Limit = 7
	chosen, _ = q.Choose(lanes, domain.TierEnterprise)
	assert.Len(t, chosen, 7)
	chosen, _ = q.Choose(lanes[:5], domain.TierEnterprise)
	assert.Len(t, chosen, 5)
}

func TestChoose_LanesThatNoWorkerAdmits_AreSetAsideAndDoNotCount(t *testing.T) {
	able := worker(1, "t0", "t1", "t2", "t3")
	draining := worker(2, "t4")
	draining.Status = domain.WorkerDraining
	var lanes []domain.FirstOfLane
	for n := range 100 {
		lanes = append(lanes, first(n, 10, n, nil))
	}
	lanes = append(lanes, first(0, 10, 5, map[string]string{"gpu": "yes"}))
	q := domain.HeadsQuery{
		Limit: 4, Policy: domain.PolicyPriority, Roster: domain.NewRoster([]domain.Worker{able, draining}),
	}
	chosen, aside := q.Choose(lanes, domain.TierFree)
	for n := range 4 {
		assert.Contains(t, chosen, lanes[n].Lane.ID)
	}
	for n := range 20 {
		assert.Contains(t, chosen, lanes[99-n].Lane.ID, "those that have waited longest are told to be unplaceable")
	}
	assert.Len(t, chosen, 24)
	assert.Equal(t, 77, aside)
}

func TestRoster_WorkerThatComesGoesOrChanges_ChangesTheVersion(t *testing.T) {
	a, b := worker(1, "t"), worker(2, "t")
	base := domain.NewRoster([]domain.Worker{a, b}).Version()
	beaten := a
	beaten.HeartbeatAt = epoch0
	assert.Equal(t, base, domain.NewRoster([]domain.Worker{beaten, b}).Version(), "heartbeats change nothing")
	tagged, offers, drained := a, a, a
	tagged.Tags = map[string]string{"gpu": "yes"}
	offers.Capabilities = []string{"t", "u"}
	drained.Status = domain.WorkerDraining
	for _, workers := range [][]domain.Worker{{a}, {tagged, b}, {offers, b}, {drained, b}, {a, b, worker(3, "t")}} {
		assert.NotEqual(t, base, domain.NewRoster(workers).Version())
	}
}
