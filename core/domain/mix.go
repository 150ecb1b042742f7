package domain

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// MixClass is one kind of work in the mix of what customers submit.
type MixClass struct {
	Resources Resources
	// Weight is how much of the work is of this kind, as a number of submissions.
	Weight float64
}

const (
	// MixPeriod is how far back the mix of what customers submit reaches.
	MixPeriod = 24 * time.Hour
	// MixLimit is how many classes a mix has at most: those with the most submissions. Each costs the
	// planner time.
	MixLimit = 50
	// MixHourLimit is how many classes of one hour are kept, those with the most submissions, so that
	// no customer can make the mix grow by asking for something else each time.
	MixHourLimit = 200
)

// Demand counts what was submitted in an hour that asks for devices, by what it reserves.
type Demand struct {
	Hour      time.Time
	Resources Resources
	Submitted int
}

// InMix reports whether the demand of the hour belongs to the mix at a time.
func InMix(hour, now time.Time) bool { return !hour.Before(HourOf(now.Add(-MixPeriod))) }

// Demands sums up the demand of one transaction or period, by hour and by what is reserved.
type Demands map[DemandKey]*Demand

// DemandKey says what is summed up together.
type DemandKey struct {
	hour      time.Time
	resources string
}

// Add counts submissions of workloads. Those that ask for no device are left out, and custom
// resources of the others are: the mix does not need them.
func (ds Demands) Add(hour time.Time, r Resources, n int) {
	if r.GPUs == 0 {
		return
	}
	r.Custom = nil
	k := DemandKey{hour, r.key()}
	if ds[k] == nil {
		ds[k] = &Demand{Hour: hour, Resources: r}
	}
	ds[k].Submitted += n
}

// Sorted returns the sums, ordered by hour and by what is reserved.
func (ds Demands) Sorted() []*Demand {
	keys := make([]DemandKey, 0, len(ds))
	for k := range ds {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b DemandKey) int {
		return cmp.Or(a.hour.Compare(b.hour), cmp.Compare(a.resources, b.resources))
	})
	out := make([]*Demand, len(keys))
	for i, k := range keys {
		out[i] = ds[k]
	}
	return out
}

// Trim removes what exceeds MixHourLimit classes of an hour.
func (ds Demands) Trim() {
	hours := map[time.Time][]DemandKey{}
	for k := range ds {
		hours[k.hour] = append(hours[k.hour], k)
	}
	for _, keys := range hours {
		if len(keys) <= MixHourLimit {
			continue
		}
		slices.SortFunc(keys, func(a, b DemandKey) int {
			return cmp.Or(cmp.Compare(ds[b].Submitted, ds[a].Submitted), cmp.Compare(a.resources, b.resources))
		})
		for _, k := range keys[MixHourLimit:] {
			delete(ds, k)
		}
	}
}

// Mix returns the classes, those with the most submissions first, whatever hour they are of.
func (ds Demands) Mix() []MixClass {
	all := Demands{}
	for _, d := range ds {
		all.Add(time.Time{}, d.Resources, d.Submitted)
	}
	sums := all.Sorted()
	slices.SortStableFunc(sums, func(a, b *Demand) int { return cmp.Compare(b.Submitted, a.Submitted) })
	var out []MixClass
	for _, d := range sums[:min(len(sums), MixLimit)] {
		out = append(out, MixClass{d.Resources.Clone(), float64(d.Submitted)})
	}
	return out
}

// key returns the same text for equal resources. Maps marshal with sorted keys.
func (r *Resources) key() string {
	b, err := json.Marshal(r)
	if err != nil {
		return err.Error() // of what validation refuses
	}
	return string(b)
}
