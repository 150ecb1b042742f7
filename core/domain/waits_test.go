package domain

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestWaits_Quantile_IsRightWithinATenth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		waited := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			unit := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Minute, 24 * time.Hour}).
				Draw(t, "unit")
			return time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(100*unit)).Draw(t, "waited"))
		}), 1, 200).Draw(t, "all")
		a, b := Waits{}, Waits{}
		for i, d := range waited {
			[]Waits{a, b}[i%2].Add(d)
		}
		a.Merge(b)
		require.Equal(t, len(waited), a.Count())
		slices.Sort(waited)
		for _, q := range []float64{0.01, 0.5, 0.95, 0.99, 1} {
			exact := waited[max(int(float64(len(waited))*q+0.999999), 1)-1]
			require.InEpsilon(t, exact, a.Quantile(q), 0.1, "the %g quantile of %v", q, waited)
		}
	})
}

func TestWaits_WhenThereAreNone_HaveNoQuantile(t *testing.T) {
	assert.Zero(t, Waits{}.Quantile(0.5))
	assert.Zero(t, Waits(nil).Quantile(0.5))
	assert.Zero(t, Waits(nil).Count())
}

func TestWaits_WhenNothingWaited_AreAtMostAMillisecond(t *testing.T) {
	w := Waits{}
	for _, d := range []time.Duration{-time.Hour, 0, time.Microsecond} {
		w.Add(d)
	}
	assert.LessOrEqual(t, w.Quantile(1), time.Millisecond)
	assert.Equal(t, 3, w.Count())
}
