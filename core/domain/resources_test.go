package domain_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
)

func TestResources_OddAmounts_AreRefused(t *testing.T) {
	many := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprintf("%q: 1", fmt.Sprint("kind-", i))
	}
	for _, odd := range []string{
		`{"gpus": 1e308}`, `{"gpus": -1}`, `{"gpus": -0.5}`, `{"gpus": 0.04}`, `{"gpus": 0.96}`, `{"gpus": 1.5}`,
		`{"gpus": 65}`, `{"gpus": 1e18}`, `{"cpu_cores": 1e308}`, `{"cpu_cores": -0.001}`, `{"cpu_cores": 1025}`,
		`{"memory_mb": -1}`, `{"memory_mb": 1e308}`, `{"memory_mb": 1e15}`, `{"disk_mb": 9223372036854775808}`,
		`{"disk_mb": -9223372036854775808}`, `{"gpu_models": ["A10"]}`, `{"gpus": 1, "gpu_models": [""]}`,
		`{"gpus": 1, "gpu_models": ["A10\n"]}`, `{"custom": {"": 1}}`, `{"custom": {" ": 1}}`, `{"custom": {"a\u0000b": 1}}`,
		`{"custom": {"licence": -1}}`, `{"custom": {"licence": 1e30}}`, `{"custom": {"licence": 1099511627777}}`,
		`{"custom": {"` + strings.Repeat("x", 64) + `": 1}}`, `{"custom": {"gpus": 1}}`, `{"custom": {"memory_mb": 1}}`,
		`{"custom": {` + strings.Join(many, ",") + `}}`,
	} {
		var r domain.Resources
		err := json.Unmarshal([]byte(odd), &r)
		if err == nil {
			err = r.Canonical().Validate("resources")
			require.ErrorContains(t, err, "resources.", odd)
		}
		require.Error(t, err, odd)
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1e308} {
		assert.Negative(t, domain.MilliOf(v))
	}
	odd := domain.Resources{Custom: map[string]int64{"Lizenz für 50 % des Büros": 1, "0": 0}}
	require.NoError(t, odd.Canonical().Validate("resources"), "names of people are not only letters")
	assert.Len(t, odd.Canonical().Custom, 1)
}

func TestOffer_DeviceThatListsCannotName_IsRefused(t *testing.T) {
	for _, id := range []string{"", "0,1", "0\n", strings.Repeat("x", 64)} {
		require.Error(t, domain.Offer{Devices: []domain.Device{{ID: id}}}.Validate("resources"), "%q", id)
	}
	require.Error(t, domain.Offer{Devices: []domain.Device{{ID: "0"}, {ID: "0"}}}.Validate("resources"))
	require.NoError(t, domain.Offer{Devices: []domain.Device{{ID: "GPU-6f1c"}, {ID: "0"}}}.Validate("resources"))
}

// Whatever share is asked for, what is given of a device adds up to one at most, and what is given
// back leaves it whole.
func TestHolding_SharesThatDoNotAddUp_NeverExceedADevice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := domain.Offer{Devices: []domain.Device{{ID: "0"}, {ID: "1"}}}
		h := domain.NewHolding(&o)
		type given struct {
			r       domain.Resources
			devices []domain.DeviceShare
		}
		var all []given
		for range 30 {
			r := domain.Resources{GPUs: domain.MilliOf(rapid.Float64Range(0, 2.2).Draw(t, "gpus"))}
			if r.Validate("resources") != nil || !h.Fits(&r) {
				continue
			}
			devices := h.Choose(&r, nil)
			require.True(t, h.Allows(&r, devices))
			h.Take(&r, devices, 1)
			all = append(all, given{r, devices})
			for i := range o.Devices {
				require.GreaterOrEqual(t, h.Free(i), domain.Milli(0))
			}
		}
		for _, g := range all {
			h.Return(&g.r, g.devices, 1)
		}
		require.Equal(t, []domain.Milli{domain.One, domain.One}, []domain.Milli{h.Free(0), h.Free(1)})
	})
}
