package domain

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A change from any status to any other moves one workload between two counts, and counts an end
// once.
func TestCountChange_BetweenAnyTwoStatuses(t *testing.T) {
	for _, from := range append([]Status{""}, Statuses()...) {
		for _, to := range Statuses() {
			w := &Workload{Spec: Spec{CustomerID: "cust_a", Type: "t"}, State: State{Status: to, Executed: time.Minute}}
			w.UpdatedAt = time.Date(2026, 3, 2, 10, 59, 30, 0, time.UTC)
			d := CountChange(&State{Status: from}, w, Consumption{CPUMS: 7})
			assert.Equal(t, Delta{
				CustomerID: "cust_a", Type: "t", Minute: time.Date(2026, 3, 2, 10, 59, 0, 0, time.UTC), Started: d.Started,
				Unfinished: d.Unfinished, Activity: d.Activity,
			}, d)
			unfinished := d.Queued + d.Running + d.Paused
			created, ended := from == "", to.Final() && !from.Final()
			assert.Equal(t, created, d.Submitted == 1, "%s to %s", from, to)
			assert.Equal(t, to.Held() && !from.Held(), d.Started == 1, "%s to %s", from, to)
			assert.Equal(t, ended, d.Finished() == 1, "%s to %s", from, to)
			assert.Equal(t, ended, d.Executed == time.Minute, "%s to %s", from, to)
			was := map[bool]int{true: 1}[from != "" && !from.Final()]
			is := map[bool]int{true: 1}[!to.Final()]
			assert.Equal(t, is-was, unfinished, "%s to %s", from, to)
		}
	}
}

func TestDeltas_ThatCancelOut_LeaveNothing(t *testing.T) {
	at := MinuteOf(time.Unix(1_700_000_000, 0))
	ds := Deltas{}
	ds.Add(Delta{CustomerID: "cust_b", Type: "t", Minute: at, Unfinished: Unfinished{Queued: -1, Running: 1}})
	ds.Add(Delta{CustomerID: "cust_a", Type: "u", Minute: at, Unfinished: Unfinished{Queued: 1},
		Activity: Activity{Submitted: 1}})
	ds.Add(Delta{CustomerID: "cust_a", Type: "t", Minute: at, Unfinished: Unfinished{Queued: 1},
		Activity: Activity{Submitted: 1}})
	ds.Add(Delta{CustomerID: "cust_b", Type: "t", Minute: at, Unfinished: Unfinished{Queued: 1, Running: -1}})
	ds.Add(Delta{CustomerID: "cust_a", Type: "t", Minute: at, Unfinished: Unfinished{Queued: 1},
		Activity: Activity{Submitted: 1}})
	assert.Equal(t, []*Delta{
		{CustomerID: "cust_a", Type: "t", Minute: at, Unfinished: Unfinished{Queued: 2}, Activity: Activity{Submitted: 2}},
		{CustomerID: "cust_a", Type: "u", Minute: at, Unfinished: Unfinished{Queued: 1}, Activity: Activity{Submitted: 1}},
	}, ds.Changed())
}

func TestSumDepths_ByTierAndType(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	q := SumDepths([]Depth{
		{Tier: TierPremium, Type: "a", Unfinished: Unfinished{Queued: 1, Running: 1}, Oldest: at(3)},
		{Tier: TierFree, Type: "b", Unfinished: Unfinished{Queued: 2}, Oldest: at(2)},
		{Tier: TierFree, Type: "a", Unfinished: Unfinished{Paused: 1}},
	})
	assert.Equal(t, QueueDepth{
		Total: Depth{Unfinished: Unfinished{Queued: 3, Running: 1, Paused: 1}, Oldest: at(2)},
		ByTier: []Depth{
			{Tier: TierFree, Unfinished: Unfinished{Queued: 2, Paused: 1}, Oldest: at(2)},
			{Tier: TierPremium, Unfinished: Unfinished{Queued: 1, Running: 1}, Oldest: at(3)},
		},
		ByType: []Depth{
			{Type: "b", Unfinished: Unfinished{Queued: 2}, Oldest: at(2)},
			{Type: "a", Unfinished: Unfinished{Queued: 1, Running: 1, Paused: 1}, Oldest: at(3)},
		},
	}, q)
}

func TestSumDepths_OfManyTypes_ListsTheDeepest(t *testing.T) {
	var depths []Depth
	for n := range TypesListed + 10 {
		depths = append(depths, Depth{Tier: TierFree, Type: fmt.Sprint("t", n), Unfinished: Unfinished{Queued: n}})
	}
	q := SumDepths(depths)
	require.Len(t, q.ByType, TypesListed)
	assert.Equal(t, 10, q.ByType[TypesListed-1].Queued)
	assert.Equal(t, (TypesListed+10)*(TypesListed+9)/2, q.Total.Queued)
}

func TestStatisticsQuery_Validate(t *testing.T) {
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		by    Grouping
		days  int
		field string
	}{
		{GroupByDay, 366, ""}, {GroupByDay, 367, "end_date"}, {GroupByHour, 31, ""}, {GroupByHour, 32, "end_date"},
		{GroupByType, 366, ""}, {GroupByType, 0, "end_date"}, {GroupByType, -1, "end_date"}, {"week", 1, "group_by"},
	} {
		err := StatisticsQuery{From: day, Until: day.AddDate(0, 0, c.days), GroupBy: c.by}.Validate()
		if c.field == "" {
			require.NoError(t, err)
			continue
		}
		var e *Error
		require.ErrorAs(t, err, &e, "%v", c)
		assert.Equal(t, CodeInvalidInput, e.Code)
		assert.Equal(t, c.field, e.Details["field"])
	}
}
