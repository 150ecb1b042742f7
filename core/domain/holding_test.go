package domain

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawOffer returns an offer with up to four devices of two models.
func drawOffer(t *rapid.T) Offer {
	o := Offer{Amounts: Amounts{CPUCores: Milli(rapid.SampledFrom([]int{0, 1000, 2500}).Draw(t, "cores"))}}
	if rapid.Bool().Draw(t, "licences?") {
		o.Custom = map[string]int64{"licence": rapid.Int64Range(0, 3).Draw(t, "licences")}
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "devices") {
		model := rapid.SampledFrom([]string{"A", "B"}).Draw(t, "model")
		o.Devices = append(o.Devices, Device{ID: fmt.Sprint("gpu", i), Model: model})
	}
	return o
}

func drawNeed(t *rapid.T) Resources {
	r := Resources{
		Amounts: Amounts{CPUCores: Milli(rapid.SampledFrom([]int{0, 100, 300, 1000}).Draw(t, "cores"))},
		GPUs:    Milli(rapid.SampledFrom([]int{0, 50, 300, 950, 1000, 2000, 4000}).Draw(t, "gpus")),
	}
	if r.GPUs > 0 && rapid.Bool().Draw(t, "models?") {
		r.GPUModels = []string{rapid.SampledFrom([]string{"A", "B"}).Draw(t, "model")}
	}
	if rapid.Bool().Draw(t, "licence?") {
		r.Custom = map[string]int64{"licence": rapid.Int64Range(0, 2).Draw(t, "licences")}
	}
	return r
}

type heldRun struct {
	need    Resources
	devices []DeviceShare
}

// overgiven says which resource the runs hold more of than the offer has, counted anew.
func overgiven(o *Offer, runs []heldRun) string {
	var cores Milli
	var licences int64
	shares := map[string]Milli{}
	for _, r := range runs {
		cores += r.need.CPUCores
		licences += r.need.Custom["licence"]
		for _, d := range r.devices {
			shares[d.ID] += d.Share
		}
	}
	for id, s := range shares {
		if s > One {
			return id
		}
	}
	if o.CPUCores > 0 && cores > o.CPUCores {
		return "cpu_cores"
	}
	if licences > o.Custom["licence"] {
		return "licence"
	}
	return ""
}

// Runs are assigned, end and are lost, and the worker comes back with another offer. What is given
// is never more than there is, and what fits is always given.
func TestHolding_AnyOrderOfChanges_NeverGivesMoreThanThereIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offer := drawOffer(t)
		h := NewHolding(&offer)
		var runs []heldRun
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 7).Draw(t, "step") {
			case 0: // one ends
				if len(runs) > 0 {
					i := rapid.IntRange(0, len(runs)-1).Draw(t, "ends")
					h.Return(&runs[i].need, runs[i].devices, 1)
					runs = append(runs[:i:i], runs[i+1:]...)
				}
			case 1: // the session is lost, with all that it held
				if rapid.Bool().Draw(t, "lost") {
					h, runs = NewHolding(&offer), nil
				}
			case 2: // the worker states another offer while its runs go on
				offer = drawOffer(t)
				h = NewHolding(&offer)
				for i := range runs {
					h.Take(&runs[i].need, runs[i].devices, 1)
				}
			default:
				need := drawNeed(t)
				require.Equal(t, h.Fits(&need), h.Short(&need) == "")
				devices := h.Choose(&need, nil)
				if !h.Fits(&need) {
					require.False(t, h.Allows(&need, devices))
					continue
				}
				require.True(t, h.Allows(&need, devices), "%+v %+v", need, devices)
				n, share := need.PerDevice()
				require.Len(t, devices, n)
				models := map[string]string{}
				for _, d := range offer.Devices {
					models[d.ID] = d.Model
				}
				for _, d := range devices {
					require.Equal(t, share, d.Share)
					require.Contains(t, models, d.ID)
					require.True(t, need.Allows(models[d.ID]))
				}
				before := append([]heldRun(nil), runs...)
				runs = append(runs, heldRun{need, devices})
				h.Take(&need, devices, 1)
				if overgiven(&offer, before) == "" {
					require.Empty(t, overgiven(&offer, runs))
				}
				for _, d := range devices { // whatever was held before, a device that is given was free
					var sum Milli
					for _, r := range runs {
						for _, o := range r.devices {
							if o.ID == d.ID {
								sum += o.Share
							}
						}
					}
					require.LessOrEqual(t, sum, One)
				}
			}
		}
		for i := range runs {
			h.Return(&runs[i].need, runs[i].devices, 1)
		}
		empty := NewHolding(&offer)
		require.Equal(t, empty.Left(), h.Left(), "what all have returned is free again")
		require.Equal(t, empty.free, h.free)
	})
}

func TestHolding_Allows_RefusesDevicesThatAreNotFree(t *testing.T) {
	o := Offer{Devices: []Device{{ID: "0", Model: "A"}, {ID: "1", Model: "B"}}}
	h := NewHolding(&o)
	half, whole, both := Resources{GPUs: 500}, Resources{GPUs: One}, Resources{GPUs: 2 * One}
	h.Take(&half, []DeviceShare{{"0", 500}}, 1)
	assert.True(t, h.Allows(&half, []DeviceShare{{"0", 500}}))
	assert.False(t, h.Allows(&half, []DeviceShare{{"0", 400}}), "less than it needs")
	assert.False(t, h.Allows(&half, []DeviceShare{{"2", 500}}), "no such device")
	assert.False(t, h.Allows(&half, nil))
	assert.False(t, h.Allows(&whole, []DeviceShare{{"0", One}}), "a part of it is held")
	assert.True(t, h.Allows(&whole, []DeviceShare{{"1", One}}))
	assert.False(t, h.Allows(&both, []DeviceShare{{"1", One}, {"1", One}}), "one device twice")
	onlyA := Resources{GPUs: One, GPUModels: []string{"A"}}
	assert.False(t, h.Allows(&onlyA, []DeviceShare{{"1", One}}), "another model")
	assert.Equal(t, "gpus", h.Short(&both))
}

func TestResources_Validate_NamesTheFieldAtFault(t *testing.T) {
	many := map[string]int64{}
	for i := range 33 {
		many[fmt.Sprint(i)] = 1
	}
	for want, r := range map[string]Resources{
		"":                     {GPUs: 50},
		"resources.cpu_cores":  {Amounts: Amounts{CPUCores: -1}},
		"resources.gpus":       {GPUs: 1500},
		"resources.gpu_models": {GPUModels: []string{"A10"}},
		"resources.custom":     {Custom: many},
		"resources.custom.l":   {Custom: map[string]int64{"l": -1}},
	} {
		requireField(t, r.Validate("resources"), want)
	}
	for _, gpus := range []Milli{-1000, 49, 951, 999, 65_000} {
		requireField(t, Resources{GPUs: gpus}.Validate("resources"), "resources.gpus")
	}
	for _, gpus := range []Milli{0, 50, 950, 1000, 8000, 64_000} {
		requireField(t, Resources{GPUs: gpus}.Validate("resources"), "")
	}
	for want, o := range map[string]Offer{
		"":                            {Devices: []Device{{ID: "0"}, {ID: "1", Model: "A10", MemoryMB: 24 << 10}}},
		"resources.memory_mb":         {Amounts: Amounts{MemoryMB: -1}},
		"resources.devices":           {Devices: make([]Device, 65)},
		"resources.devices.id":        {Devices: []Device{{ID: "0"}, {ID: "0"}}},
		"resources.devices.memory_mb": {Devices: []Device{{ID: "0", MemoryMB: -1}}},
	} {
		requireField(t, o.Validate("resources"), want)
	}
}

func requireField(t *testing.T, err error, field string) {
	t.Helper()
	if field == "" {
		require.NoError(t, err)
		return
	}
	var e *Error
	require.ErrorAs(t, err, &e, field)
	require.Equal(t, field, e.Details["field"])
}

func TestMilli_JSON_KeepsThousandths(t *testing.T) {
	r := Resources{Amounts: Amounts{CPUCores: 2500, MemoryMB: 7}, GPUs: 50, GPUModels: []string{"A10"}}
	b, err := json.Marshal(r)
	require.NoError(t, err)
	assert.JSONEq(t, `{"cpu_cores":2.5,"memory_mb":7,"gpus":0.05,"gpu_models":["A10"]}`, string(b))
	var back Resources
	require.NoError(t, json.Unmarshal(b, &back))
	assert.True(t, r.Equal(back))
	require.Error(t, json.Unmarshal([]byte(`{"gpus":"x"}`), &back))
	var sum Milli
	for range 10 {
		sum += MilliOf(0.1)
	}
	assert.Equal(t, One, sum)
	assert.Error(t, Amounts{CPUCores: MilliOf(1e300)}.validate("r"))
}
