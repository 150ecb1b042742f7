package contracttests

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// resourceCases are about what runs hold of the resources and devices of their workers.
func resourceCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"what a workload reserves and holds is kept",
			"Submit keeps what is reserved, Apply what is held, Occupancy adds it up by device",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(9, domain.Offer{
					Amounts: domain.Amounts{CPUCores: 8000}, Devices: a10s(2), Custom: map[string]int64{"licence": 3},
				})
				asks := domain.Resources{
					Amounts: domain.Amounts{CPUCores: 1500}, GPUs: 250, GPUModels: []string{"A10"},
					Custom: map[string]int64{"licence": 1},
				}
				a, b := f.submit(reserves(asks)), f.submit(reserves(asks))
				require.Equal(t, asks, f.get(a.ID).Run.Resources)
				require.Equal(t, domain.DefaultLimits(), f.get(a.ID).Run.Limits)
				hs := f.heads(9)
				require.Len(t, hs, 1)
				require.Equal(t, asks, hs[0].Lane.Resources)
				for i, wl := range []domain.Workload{a, b} {
					state := f.must(gives(assign(wl, w), share("0", 250)))
					require.Equal(t, []domain.DeviceShare{share("0", 250)}, state.Devices)
					state = f.must(report(wl, w, domain.EventStart, 1))
					require.Equal(t, state, f.get(wl.ID).State, "answers carry the whole state")
					require.Equal(t, []domain.DeviceShare{share("0", 250)}, state.Devices)
					require.Equal(t, []domain.Occupancy{{
						SessionID: w.SessionID, Lane: f.lane(wl), Count: i + 1,
						Devices: []domain.DeviceShare{share("0", domain.Milli(250*(i+1)))},
					}}, f.occupancy())
				}
				require.Empty(t, f.must(report(a, w, domain.EventComplete, 1)).Devices)
				require.Empty(t, f.get(a.ID).Devices)
				f.must(report(b, w, domain.EventComplete, 1))
				require.Empty(t, f.occupancy())
			}},
		{"nothing is given beyond what is free",
			"An assignment is refused when the worker has too little of a resource left", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(9, domain.Offer{
					Amounts: domain.Amounts{CPUCores: 4000, MemoryMB: 100}, Devices: a10s(2),
					Custom: map[string]int64{"licence": 1},
				})
				half := domain.Resources{GPUs: 500}
				f.must(gives(assign(f.submit(reserves(half)), w), share("0", 500)))
				ask := func(gpus domain.Milli, models ...string) domain.Resources {
					return domain.Resources{GPUs: gpus, GPUModels: models}
				}
				get := func(shares ...domain.DeviceShare) []domain.DeviceShare { return shares }
				for name, c := range map[string]struct {
					asks  domain.Resources
					gets  []domain.DeviceShare
					short string
				}{
					"a share that is not free":   {ask(600), get(share("0", 600)), "devices"},
					"a whole device that is not": {ask(1000), get(share("0", 1000)), "devices"},
					"more devices than are free": {ask(2000), get(share("0", 1000), share("1", 1000)), "gpus"},
					"another model":              {ask(500, "H100"), get(share("1", 500)), "gpus"},
					"no device":                  {ask(500), nil, "devices"},
					"a device it has not":        {ask(500), get(share("2", 500)), "devices"},
					"another share":              {ask(500), get(share("1", 400)), "devices"},
					"one device twice":           {ask(2000), get(share("1", 1000), share("1", 1000)), "gpus"},
					"devices not asked for":      {ask(0), get(share("1", 500)), "not known"},
					"cores":                      {domain.Resources{Amounts: domain.Amounts{CPUCores: 4500}}, nil, "cpu_cores"},
					"memory":                     {domain.Resources{Amounts: domain.Amounts{MemoryMB: 101}}, nil, "memory_mb"},
					"a custom resource":          {domain.Resources{Custom: map[string]int64{"licence": 2}}, nil, "licence"},
					"one that it has not":        {domain.Resources{Custom: map[string]int64{"fpga": 1}}, nil, "fpga"},
				} {
					a := f.submit(reserves(c.asks))
					r := f.apply(gives(assign(a, w), c.gets...))[0]
					require.Equal(t, domain.OutcomeRefused, r.Outcome, name)
					require.Contains(t, r.Reason, c.short, name)
					require.Equal(t, a, f.get(a.ID), "%s: it waits on", name)
				}
				// A worker that does not state its disk is not limited in it.
				f.must(assign(f.submit(reserves(domain.Resources{Amounts: domain.Amounts{DiskMB: 1 << 20}})), w))
			}},
		{"assignments of one batch count",
			"Apply executes the transitions in order: what one gives the next one cannot give",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(9, domain.Offer{Devices: a10s(1), Custom: map[string]int64{"licence": 2}})
				asks := reserves(domain.Resources{GPUs: 400, Custom: map[string]int64{"licence": 1}})
				var ts []domain.Transition
				for range 3 {
					ts = append(ts, gives(assign(f.submit(asks), w), share("0", 400)))
				}
				rs := f.apply(ts...)
				require.Equal(t, []domain.Outcome{domain.OutcomeApplied, domain.OutcomeApplied, domain.OutcomeRefused},
					[]domain.Outcome{rs[0].Outcome, rs[1].Outcome, rs[2].Outcome})
				// What a report of the same batch gives back can be given again.
				first := f.get(rs[0].WorkloadID)
				rs = f.apply(report(first, w, domain.EventComplete, 1), ts[2])
				require.Equal(t, domain.OutcomeApplied, rs[1].Outcome, rs[1].Reason)
			}},
		{"the runs of one lane add up",
			"An assignment is refused when the worker has too little of a resource left", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(9, domain.Offer{Amounts: domain.Amounts{CPUCores: 1000}, Custom: map[string]int64{"licence": 5}})
				asks := reserves(domain.Resources{
					Amounts: domain.Amounts{CPUCores: 300}, Custom: map[string]int64{"licence": 1},
				})
				for range 3 {
					f.must(assign(f.submit(asks), w))
				}
				require.Contains(t, f.apply(assign(f.submit(asks), w))[0].Reason, "cpu_cores")
			}},
		{"64 racers for the last half of a device: one gets it",
			"An assignment is refused when the worker has too little of a resource left, between concurrent batches too",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(100, domain.Offer{Devices: a10s(1)})
				f.must(gives(assign(f.submit(reserves(domain.Resources{GPUs: 500})), w), share("0", 500)))
				stores := [8]ports.Stores{}
				for i := range stores {
					stores[i] = h.Open()
				}
				var ts [64]domain.Transition
				for i := range ts {
					ts[i] = gives(assign(f.submit(reserves(domain.Resources{GPUs: 500})), w), share("0", 500))
				}
				results := race(len(ts), func(i int) domain.Outcome {
					b := domain.Batch{Epoch: f.epoch, Transitions: ts[i : i+1]}
					rs, err := stores[i%len(stores)].Workloads.Apply(t.Context(), b)
					if err != nil {
						return domain.Outcome(err.Error())
					}
					return rs[0].Outcome
				})
				outcomes := map[domain.Outcome]int{}
				for _, o := range results {
					outcomes[o]++
				}
				require.Equal(t, map[domain.Outcome]int{domain.OutcomeApplied: 1, domain.OutcomeRefused: 63}, outcomes)
			}},
		{"every way in which a run ends gives back what it held",
			"What is held is derived from what runs", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(9, domain.Offer{Devices: a10s(1)})
				asks := reserves(domain.Resources{GPUs: 1000})
				for _, ends := range []func(a domain.Workload) domain.Transition{
					func(a domain.Workload) domain.Transition { return report(a, w, domain.EventComplete, 1) },
					func(a domain.Workload) domain.Transition { return report(a, w, domain.EventFail, 1) },
					func(a domain.Workload) domain.Transition { return report(a, w, domain.EventRelease, 1) },
					func(a domain.Workload) domain.Transition { return lose(a, domain.LossMissing) },
				} {
					a := f.submit(asks)
					f.must(gives(assign(a, w), share("0", 1000)))
					f.must(report(a, w, domain.EventStart, 1))
					e := ends(f.get(a.ID))
					require.Empty(t, f.must(e).Devices, "%s", e.Event)
					require.Empty(t, f.occupancy(), "%s", e.Event)
				}
				a := f.submit(asks)
				f.must(gives(assign(a, w), share("0", 1000)))
				f.must(report(a, w, domain.EventDecline, 1))
				f.must(gives(assign(f.submit(asks), w), share("0", 1000)))
			}},
		{"an ending run keeps its devices",
			"what it has not let go of counts, with the devices that it holds", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(9, domain.Offer{Devices: a10s(1), Custom: map[string]int64{"licence": 1}})
				asks := reserves(domain.Resources{GPUs: 500, Custom: map[string]int64{"licence": 1}})
				a, b := f.submit(asks), f.submit(asks)
				c := f.submit(reserves(domain.Resources{GPUs: 1000}))
				f.must(gives(assign(a, w), share("0", 500)))
				f.must(report(a, w, domain.EventStart, 1))
				f.must(cancel(a))
				require.Equal(t, []domain.Occupancy{{
					SessionID: w.SessionID, Lane: f.lane(a), Ending: 1, Devices: []domain.DeviceShare{share("0", 500)},
				}}, f.occupancy())
				require.Contains(t, f.apply(gives(assign(b, w), share("0", 500)))[0].Reason, "licence")
				require.Contains(t, f.apply(gives(assign(c, w), share("0", 1000)))[0].Reason, "gpus")
				letGo := report(a, w, domain.EventLetGo, 1)
				letGo.WorkerID = w.ID
				f.must(letGo)
				f.must(gives(assign(b, w), share("0", 500)))
			}},
		{"a run found in an inventory holds what its worker says",
			"EventLinger keeps the devices of a run that its session does not hold", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(9, domain.Offer{Devices: a10s(2)})
				asks := reserves(domain.Resources{GPUs: 1000})
				a, b := f.submit(asks), f.submit(asks)
				f.must(gives(assign(a, w), share("1", 1000)))
				f.must(report(a, w, domain.EventComplete, 1))
				found := report(a, w, domain.EventLinger, 1)
				found.WorkerID, found.Devices = w.ID, []domain.DeviceShare{share("1", 1000)}
				f.must(found)
				o := f.occupancy()
				require.Len(t, o, 1)
				require.Equal(t, found.Devices, o[0].Devices)
				again := gives(assign(b, w), share("1", 1000))
				again.FoundAt = o[0].FoundAt
				require.Equal(t, domain.OutcomeRefused, f.apply(again)[0].Outcome)
				again.Devices = []domain.DeviceShare{share("0", 1000)}
				f.must(again)
			}},
		{"a worker comes back with fewer devices",
			"A new session holds nothing of the old one, and only what the worker states can be given",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(9, domain.Offer{Devices: a10s(2)})
				asks := reserves(domain.Resources{GPUs: 1000})
				a := f.submit(asks)
				f.must(gives(assign(a, w), share("1", 1000)))
				f.must(report(a, w, domain.EventStart, 1))
				r := takeOver("w", "second", 9)
				r.Resources = domain.Offer{Devices: a10s(1)}
				next := f.register(r)
				f.must(lose(f.get(a.ID), domain.LossReplaced))
				again := f.get(a.ID)
				require.Equal(t, domain.OutcomeRefused, f.apply(gives(assign(again, next), share("1", 1000)))[0].Outcome)
				f.must(gives(assign(again, next), share("0", 1000)))
				more := gives(assign(f.submit(asks), next), share("0", 1000))
				require.Equal(t, domain.OutcomeRefused, f.apply(more)[0].Outcome)
			}},
		{"work that reserves nothing is placed beside full devices",
			"A workload or config that states no resources reserves nothing but its slot", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(9, domain.Offer{Amounts: domain.Amounts{CPUCores: 100}, Devices: a10s(1)})
				f.must(gives(assign(f.submit(reserves(domain.Resources{GPUs: 1000})), w), share("0", 1000)))
				f.must(assign(f.submit(), w))
				require.NotContains(t, string(f.submit().Lane), "#")
			}},
		{"a lost holder gives its devices back at once",
			"A session that has ended holds nothing", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.offers(9, domain.Offer{Devices: a10s(1)})
				a := f.submit(reserves(domain.Resources{GPUs: 1000}))
				f.must(gives(assign(a, w), share("0", 1000)))
				h.Advance(lease + time.Second)
				_, err := f.Workers.Expire(t.Context(), f.epoch, 9)
				require.NoError(t, err)
				f.must(lose(f.get(a.ID), domain.LossExpired))
				r := registration("w", "second", 9)
				r.Resources = w.Resources
				f.must(gives(assign(f.get(a.ID), f.register(r)), share("0", 1000)))
			}},
	}
}

// offers registers the worker w, which has resources.
func (f *fixture) offers(slots int, o domain.Offer) domain.Worker {
	f.Helper()
	r := registration("w", "w-session", slots)
	r.Resources = o
	return f.register(r)
}

// a10s returns devices of the model A10, with the ids 0, 1, and so on.
func a10s(n int) (ds []domain.Device) {
	for i := range n {
		ds = append(ds, domain.Device{ID: fmt.Sprint(i), Model: "A10"})
	}
	return ds
}

func share(id string, n domain.Milli) domain.DeviceShare { return domain.DeviceShare{ID: id, Share: n} }

// reserves returns the change of a submission that makes it reserve resources.
func reserves(r domain.Resources) func(*domain.Submission) {
	return func(s *domain.Submission) { s.Run.Resources = r }
}

// gives returns the assignment with the devices that it gives.
func gives(t domain.Transition, devices ...domain.DeviceShare) domain.Transition {
	t.Devices = devices
	return t
}
