package bootstrap

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// median returns the middle of some values; of an even number the mean of both in the middle.
func median[N ~int64 | ~float64](all []N) N {
	s := slices.Sorted(slices.Values(all))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func TestMedian_OfAnEvenNumber_IsTheMeanOfBothInTheMiddle(t *testing.T) {
	assert.InDelta(t, 1.5, median([]float64{3, 0.5, 1, 2}), 1e-9)
	assert.Equal(t, 2*time.Second, median([]time.Duration{time.Second, 3 * time.Second}))
	unsorted := []float64{3, 1, 2}
	assert.InDelta(t, 2, median(unsorted), 1e-9)
	assert.Equal(t, []float64{3, 1, 2}, unsorted)
	assert.InDelta(t, 7, median([]float64{7}), 1e-9)
}
