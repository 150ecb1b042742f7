package domain_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
)

var backlogNow = time.Unix(1_700_000_000, 0)

func laneBacklog(
	customer domain.CustomerID, typ string, waiting, delayed int, waited time.Duration,
) domain.LaneBacklog {
	l := domain.LaneBacklog{
		Lane:    domain.Lane{ID: domain.LaneID(string(customer) + "/" + typ), CustomerID: customer, Type: typ},
		Waiting: waiting, Delayed: delayed,
	}
	if waiting > 0 {
		l.Oldest = backlogNow.Add(-waited)
	}
	return l
}

func TestBacklog_ByCustomerAndTier_TellsWhatWaitsFromWhatMayNot(t *testing.T) {
	b := domain.Backlog{
		Now: backlogNow,
		Customers: []domain.CustomerBacklog{
			{CustomerID: "free", Unfinished: domain.Unfinished{Queued: 10, Running: 4}},
			{CustomerID: "gone", Unfinished: domain.Unfinished{Queued: 7}},
			{CustomerID: "idle", Unfinished: domain.Unfinished{Queued: 2}},
			{CustomerID: "other", Unfinished: domain.Unfinished{Queued: 1, Running: 1}},
			{CustomerID: "suspended", Unfinished: domain.Unfinished{Queued: 5, Running: 1}},
		},
		Lanes: []domain.LaneBacklog{
			laneBacklog("free", "a", 6, 1, time.Minute), laneBacklog("free", "b", 3, 0, time.Hour),
			laneBacklog("idle", "a", 0, 2, 0), laneBacklog("other", "a", 1, 0, time.Second),
			laneBacklog("suspended", "a", 5, 0, 2*time.Hour),
		},
	}
	entitlements := map[domain.CustomerID]domain.Entitlements{
		"free":      {Tier: domain.TierFree, MaxConcurrent: 6},
		"idle":      {Tier: domain.TierFree, MaxConcurrent: 6},
		"other":     {Tier: domain.TierPremium, MaxConcurrent: 100},
		"suspended": {Tier: domain.TierPremium, MaxConcurrent: 100, Suspended: true},
	}
	customers := b.ByCustomer(entitlements)
	assert.Equal(t, domain.CustomerQueue{CustomerID: "free", TierQueue: domain.TierQueue{
		Tier: domain.TierFree, Waiting: 2, Delayed: 1, Blocked: 7, Running: 4, OldestWait: time.Hour,
	}}, customers[0])
	tiers := map[domain.Tier]domain.TierQueue{}
	for _, q := range domain.ByTier(customers) {
		tiers[q.Tier] = q
	}
	assert.Len(t, tiers, len(domain.Tiers()), "every tier is there")
	assert.Equal(t, domain.TierQueue{Tier: domain.TierFree, Waiting: 2, Delayed: 3, Blocked: 7, Running: 4,
		OldestWait: time.Hour}, tiers[domain.TierFree])
	assert.Equal(t, domain.TierQueue{Tier: domain.TierPremium, Waiting: 1, Blocked: 5, Running: 2,
		OldestWait: time.Second}, tiers[domain.TierPremium], "what is blocked does not count as an old wait")

	lanes := b.Placeable(entitlements)
	got := map[domain.LaneID]int{}
	for _, l := range lanes {
		got[l.Lane.ID] = l.Waiting
	}
	assert.Equal(t, map[domain.LaneID]int{"free/b": 2, "other/a": 1}, got, "the room goes to who waited longest")
}

func TestBacklog_WhateverWaits_NeitherLosesNorInventsAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, entitlements := domain.Backlog{Now: backlogNow}, map[domain.CustomerID]domain.Entitlements{}
		queued, running := 0, 0
		for n := range rapid.IntRange(0, 5).Draw(t, "customers") {
			id := domain.CustomerID(fmt.Sprint("c", n))
			entitlements[id] = domain.Entitlements{
				Tier:          rapid.SampledFrom(domain.Tiers()).Draw(t, "tier"),
				MaxConcurrent: rapid.IntRange(0, 20).Draw(t, "limit"), Suspended: rapid.Bool().Draw(t, "suspended"),
			}
			c := domain.CustomerBacklog{CustomerID: id}
			c.Running = rapid.IntRange(0, 25).Draw(t, "running")
			for l := range rapid.IntRange(0, 3).Draw(t, "lanes") {
				lane := laneBacklog(id, fmt.Sprint(l), rapid.IntRange(0, 9).Draw(t, "waiting"),
					rapid.IntRange(0, 9).Draw(t, "delayed"), time.Duration(l)*time.Second)
				c.Queued += lane.Waiting + lane.Delayed
				b.Lanes = append(b.Lanes, lane)
			}
			queued, running = queued+c.Queued, running+c.Running
			b.Customers = append(b.Customers, c)
		}
		customers := b.ByCustomer(entitlements)
		placeable := map[domain.CustomerID]int{}
		for _, l := range b.Placeable(entitlements) {
			placeable[l.Lane.CustomerID] += l.Waiting
		}
		for _, c := range customers {
			if c.Waiting > max(entitlements[c.CustomerID].MaxConcurrent-c.Running, 0) {
				t.Fatalf("more waits than %s may run: %+v", c.CustomerID, c)
			}
			if placeable[c.CustomerID] != c.Waiting {
				t.Fatalf("lanes of %s have %d, it has %d", c.CustomerID, placeable[c.CustomerID], c.Waiting)
			}
		}
		for _, q := range domain.ByTier(customers) {
			queued -= q.Waiting + q.Delayed + q.Blocked
			running -= q.Running
		}
		if queued != 0 || running != 0 {
			t.Fatalf("%d queued and %d running are not accounted for", queued, running)
		}
	})
}
