package contracttests

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// mixCases are about the mix of what is submitted.
func mixCases() []Case[StoreHarness] {
	half, whole := domain.Resources{GPUs: 500, GPUModels: []string{"A10"}}, domain.Resources{GPUs: 2000}
	return []Case[StoreHarness]{
		{"the mix counts what was submitted, by what it reserves",
			"Mix returns what was submitted and asks for devices, the classes with the most submissions first",
			func(t T, h StoreHarness) {
				f := given(t, h)
				require.Empty(t, f.mix())
				f.submit()
				f.submit(reserves(domain.Resources{Amounts: domain.Amounts{CPUCores: 1000}}))
				require.Empty(t, f.mix(), "what asks for no device is left out")
				want := []domain.MixClass{{Resources: whole, Weight: 3}, {Resources: half, Weight: 2}}
				for range 2 {
					f.submit(reserves(half))
					f.must(cancel(f.submit(reserves(whole)))) // it was submitted all the same
				}
				other := f.submission(rival)
				other.Run.Resources = whole
				_, err := f.Workloads.Submit(t.Context(), []domain.Submission{other})
				require.NoError(t, err)
				require.Equal(t, want, f.mix())
				f.fold(100)
				require.Equal(t, want, f.mix(), "folding changes no count")
				f.submit(reserves(whole))
				want[0].Weight++
				require.Equal(t, want, f.mix())
			}},
		{"the mix forgets what was submitted more than a day ago",
			"Mix returns what was submitted within domain.MixPeriod, in whole hours", func(t T, h StoreHarness) {
				f := given(t, h)
				f.noon()
				f.submit(reserves(half))
				f.fold(100)
				h.Advance(domain.MixPeriod)
				f.submit(reserves(whole))
				require.Len(t, f.mix(), 2)
				require.Zero(t, f.purge(domain.KeptLanes, time.Hour))
				h.Advance(time.Hour)
				require.Equal(t, []domain.MixClass{{Resources: whole, Weight: 1}}, f.mix())
				require.Positive(t, f.purge(domain.KeptLanes, time.Hour))
				require.Equal(t, []domain.MixClass{{Resources: whole, Weight: 1}}, f.mix())
			}},
		{"custom resources make no class of the mix",
			"Custom resources make no class of their own", func(t T, h StoreHarness) {
				f := given(t, h)
				for i := range 3 {
					f.submit(reserves(domain.Resources{GPUs: 2000, Custom: map[string]int64{fmt.Sprint("licence-", i): 1}}))
				}
				want := []domain.MixClass{{Resources: whole, Weight: 3}}
				require.Equal(t, want, f.mix())
				f.fold(100)
				require.Equal(t, want, f.mix())
			}},
		{"a class may name as many models as there can be",
			"Mix returns what was submitted and asks for devices", func(t T, h StoreHarness) {
				f := given(t, h)
				long := domain.Resources{GPUs: 1000}
				for i := range 32 {
					name := fmt.Sprintf("%02d", i)
					for r := 'Ω'; len([]rune(name)) < 63; r += rune(1 + i) {
						name += string(r)
					}
					long.GPUModels = append(long.GPUModels, name)
				}
				require.NoError(t, long.Validate("resources"))
				for range 2 {
					f.submit(reserves(long))
					f.fold(100)
				}
				require.Equal(t, []domain.MixClass{{Resources: long, Weight: 2}}, f.mix())
			}},
		{"an hour has a limited number of classes",
			"Fold forgets what exceeds domain.MixHourLimit classes of one hour", func(t T, h StoreHarness) {
				f := given(t, h)
				f.noon()
				ask := func(from, until int) {
					for first := from; first < until; first += 50 {
						var subs []domain.Submission
						for i := first; i < min(first+50, until); i++ {
							s := f.submission(acme)
							s.Run.Resources = domain.Resources{GPUs: 1000, GPUModels: []string{fmt.Sprintf("model-%03d", i)}}
							subs = append(subs, s)
						}
						_, err := f.Workloads.Submit(t.Context(), subs)
						require.NoError(t, err)
					}
					f.fold(1000)
				}
				f.submit(reserves(half))
				f.submit(reserves(half))
				ask(0, domain.MixHourLimit+50)
				h.Advance(time.Hour)
				ask(domain.MixHourLimit, domain.MixHourLimit+50)
				mix := f.mix()
				require.Equal(t, domain.MixClass{Resources: half, Weight: 2}, mix[0], "what is asked for more often stays")
				for _, c := range mix[1:] {
					require.InDelta(t, 1, c.Weight, 0, "the hour before has forgotten %v", c.Resources.GPUModels)
				}
			}},
		{"the mix has a limited number of classes",
			"at most domain.MixLimit, those with the most submissions", func(t T, h StoreHarness) {
				f := given(t, h)
				for i := range domain.MixLimit + 5 {
					f.submit(reserves(domain.Resources{GPUs: 1000, GPUModels: []string{fmt.Sprintf("model-%03d", i)}}))
				}
				f.submit(reserves(whole))
				f.submit(reserves(whole))
				mix := f.mix()
				require.Len(t, mix, domain.MixLimit)
				require.Equal(t, domain.MixClass{Resources: whole, Weight: 2}, mix[0])
				require.Equal(t, []string{"model-000"}, mix[1].Resources.GPUModels)
			}},
	}
}

func (f *fixture) mix() []domain.MixClass {
	f.Helper()
	mix, err := f.Statistics.Mix(f.Context())
	require.NoError(f, err)
	return mix
}
