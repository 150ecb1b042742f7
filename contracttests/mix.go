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
