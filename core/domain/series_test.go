package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRecent_Series_GoesBackFromWhatIsUnfinishedNow(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 7, 30, 0, time.UTC)
	minute := func(m int) time.Time { return time.Date(2026, 3, 2, 10, m, 0, 0, time.UTC) }
	r := Recent{
		Levels: []Level{
			{TierPremium, Unfinished{Queued: 3}}, {TierFree, Unfinished{Running: 1}}, {TierPremium, Unfinished{Running: 1}},
		},
		Changes: []MinuteChange{
			{Minute: minute(4), Tier: TierPremium, Unfinished: Unfinished{Queued: 5}, Activity: Activity{Submitted: 5}},
			{Minute: minute(8), Tier: TierPremium, Unfinished: Unfinished{Queued: 1}, Activity: Activity{Submitted: 1}},
			{Minute: minute(6), Tier: TierPremium, Unfinished: Unfinished{Queued: -3, Running: 3}, Started: 3},
			{Minute: minute(7), Tier: TierPremium, Unfinished: Unfinished{Running: -2}, Activity: Activity{Completed: 2}},
			{Minute: minute(6), Tier: TierFree, Unfinished: Unfinished{Running: 1}, Started: 1,
				Activity: Activity{Submitted: 1}},
		},
	}
	q := SeriesQuery{Period: 5 * time.Minute, Step: time.Minute}
	assert.Equal(t, minute(3), q.From(now))
	premium := func(queued, running int) []Level {
		return []Level{{TierPremium, Unfinished{Queued: queued, Running: running}}}
	}
	busy := append([]Level{{TierFree, Unfinished{Running: 1}}}, premium(2, 3)...)
	last := append([]Level{{TierFree, Unfinished{Running: 1}}}, premium(3, 1)...)
	assert.Equal(t, []Point{
		{At: minute(3)},
		{At: minute(4), Activity: Activity{Submitted: 5}, Unfinished: Unfinished{Queued: 5}, ByTier: premium(5, 0)},
		{At: minute(5), Unfinished: Unfinished{Queued: 5}, ByTier: premium(5, 0)},
		{At: minute(6), Started: 4, Activity: Activity{Submitted: 1}, Unfinished: Unfinished{Queued: 2, Running: 4},
			ByTier: busy},
		{At: minute(7), Activity: Activity{Submitted: 1, Completed: 2}, Unfinished: Unfinished{Queued: 3, Running: 2},
			ByTier: last},
	}, r.Series(q, now), "what a clock that is ahead has counted belongs to the last point")

	q.Step = 5 * time.Minute
	assert.Equal(t, minute(5), q.From(now))
	q.Period = 6 * time.Minute
	assert.Equal(t, minute(0), q.From(now), "a step that is begun counts")
	assert.Equal(t, []Point{
		{At: minute(0), Activity: Activity{Submitted: 5}, Unfinished: Unfinished{Queued: 5}, ByTier: premium(5, 0)},
		{At: minute(5), Started: 4, Activity: Activity{Submitted: 2, Completed: 2},
			Unfinished: Unfinished{Queued: 3, Running: 2}, ByTier: last},
	}, r.Series(q, now))
}

func TestSeriesQuery_Validate(t *testing.T) {
	for _, c := range []struct {
		minutes, step int
		field         string
	}{
		{1440, 1, ""}, {60, 60, ""}, {1, 1, ""}, {1441, 1, "minutes"}, {0, 1, "minutes"}, {14, 15, "minutes"},
		{60, 0, "step_minutes"}, {60, 7, "step_minutes"}, {120, 120, "step_minutes"},
	} {
		q := SeriesQuery{Period: time.Duration(c.minutes) * time.Minute, Step: time.Duration(c.step) * time.Minute}
		err := q.Validate()
		if c.field == "" {
			require.NoError(t, err)
			// What is kept covers the first step.
			now := time.Date(2026, 3, 2, 10, 7, 30, 0, time.UTC)
			assert.True(t, InSeries(q.From(now), now))
			continue
		}
		var e *Error
		require.ErrorAs(t, err, &e, "%v", c)
		assert.Equal(t, c.field, e.Details["field"])
	}
}
