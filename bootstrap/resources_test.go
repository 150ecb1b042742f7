package bootstrap

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// pretendsA10 makes the development server pretend that its first worker has GPUs.
func pretendsA10(c *Config) {
	c.WorkerDevices, c.WorkerResources, c.WorkerCPU, c.WorkerMemoryMB, c.WorkerDiskMB = "A10:2", "licence=3", "8", "0", "0"
}

func TestResources_Programs_GetTheDevicesThatTheyHold(t *testing.T) {
	a := newAPI(t, 2, pretendsA10)
	submit := func(resources map[string]any) string {
		return a.submit(map[string]any{
			"workload_type": "exec", "resources": resources, "input_params": map[string]any{
				"command": []string{"sh", "-c", `echo "$CUDA_VISIBLE_DEVICES $NIYANTA_DEVICES"`},
			},
		})
	}
	for want, resources := range map[string]map[string]any{
		"0 [{\"id\":\"0\",\"share\":0.5}]\n": {"gpus": 0.5, "gpu_models": []string{"A10"}},
		"0,1 [{\"id\":\"0\",\"share\":1},{\"id\":\"1\",\"share\":1}]\n": {
			"gpus": 2, "cpu_cores": 2.5, "custom": map[string]any{"licence": 3},
		},
		" []\n": {"custom": map[string]any{"licence": 1}},
	} {
		w := a.call("GET", "/v1/workloads/"+submit(resources)+"?wait=20", a.dev.CustomerKey, nil)
		require.Equal(t, "COMPLETED", w.field("status"), w.body)
		require.Equal(t, want, w.field("result_data.stdout"), w.body)
	}
}

func TestResources_WhatIsHeld_IsShownAndNotGivenTwice(t *testing.T) {
	d, c := startDev(t, 2, pretendsA10)
	admin, err := niyanta.NewClient(d.App.URL(), d.AdminKey)
	require.NoError(t, err)
	defer admin.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	submit := func(r niyanta.Resources) string {
		ans, err := c.Submit(ctx, niyanta.Submission{
			WorkloadType: "sleep", InputParams: []byte(`{"duration_ms":3600000}`), Resources: &r,
		}, "")
		require.NoError(t, err)
		return ans.WorkloadID
	}
	running := func(id string) (w niyanta.Workload) {
		require.EventuallyWithT(t, func(t *assert.CollectT) {
			var err error
			w, err = c.Get(ctx, id)
			require.NoError(t, err)
			require.Equal(t, niyanta.Status("RUNNING"), w.Status)
		}, 30*time.Second, 20*time.Millisecond)
		return w
	}
	asks := niyanta.Resources{GPUs: 0.75, Custom: map[string]int64{"licence": 1}}
	first := running(submit(asks))
	require.Equal(t, &asks, first.Resources)
	require.Len(t, *first.Devices, 1)
	second := running(submit(asks))
	require.NotEqual(t, (*first.Devices)[0].ID, (*second.Devices)[0].ID)
	w, err := admin.Worker(ctx, *first.WorkerID)
	require.NoError(t, err)
	require.Equal(t, niyanta.WorkerResources{
		CPUCores: 4, Devices: []niyanta.Device{{ID: "0", Model: "A10"}, {ID: "1", Model: "A10"}},
		Custom: map[string]int64{"licence": 3},
	}, w.Resources, "the workers of one server share its cores")
	require.Equal(t, &niyanta.AllocatedResources{
		Devices: []niyanta.DeviceShare{{ID: "0", Share: 0.75}, {ID: "1", Share: 0.75}},
		Custom:  map[string]int64{"licence": 2},
	}, w.Allocated)

	third := submit(asks)
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		p, err := c.Placement(ctx, third)
		require.NoError(t, err)
		codes := map[string]string{}
		for _, r := range p.Reasons {
			codes[r.Code] = r.Message
		}
		require.Equal(t, map[string]string{
			"resources_taken": "1 worker with free slots but not enough gpus left (enough when empty)",
			"too_small":       "1 worker too small: not enough gpus even if empty",
		}, codes)
	}, 30*time.Second, 50*time.Millisecond)
	_, err = c.Cancel(ctx, first.WorkloadID, "", "")
	require.NoError(t, err)
	require.Equal(t, *first.Devices, *running(third).Devices)
	got, err := c.Get(ctx, first.WorkloadID)
	require.NoError(t, err)
	require.Nil(t, got.Devices)
}

func TestResources_OfAConfig_AreReplacedByThoseOfASubmission(t *testing.T) {
	_, c := startDev(t, 0)
	cfg, err := c.CreateConfig(t.Context(), niyanta.ConfigInput{
		WorkloadType: "train", Resources: &niyanta.Resources{GPUs: 1, GPUModels: []string{"B", "A"}},
	})
	require.NoError(t, err)
	kept := &niyanta.Resources{GPUs: 1, GPUModels: []string{"A", "B"}}
	require.Equal(t, kept, cfg.Resources)
	require.InDelta(t, 1, *cfg.ResourceLimits.CPUCores, 0)
	for _, k := range []struct{ stated, want *niyanta.Resources }{
		{nil, kept}, {&niyanta.Resources{}, nil}, {&niyanta.Resources{MemoryMB: 5}, &niyanta.Resources{MemoryMB: 5}},
	} {
		ans, err := c.Submit(t.Context(), niyanta.Submission{
			WorkloadType: "train", InputParams: []byte(`{}`), Resources: k.stated,
		}, "")
		require.NoError(t, err)
		w, err := c.Get(t.Context(), ans.WorkloadID)
		require.NoError(t, err)
		require.Equal(t, k.want, w.Resources)
	}
}

func TestResources_WhenInvalid_TheErrorNamesTheField(t *testing.T) {
	a := newAPI(t, 0)
	for field, resources := range map[string]map[string]any{
		"resources.gpus":           {"gpus": 1.5},
		"resources.gpu_models":     {"gpu_models": []string{"A10"}},
		"resources.cpu_cores":      {"cpu_cores": -1},
		"resources.memory_mb":      {"memory_mb": -1},
		"resources.custom.licence": {"custom": map[string]any{"licence": -1}},
		"resources.gpu":            {"gpu": 1},
	} {
		a.refused(a.call("POST", "/v1/workloads", a.dev.CustomerKey, map[string]any{
			"workload_type": "sleep", "input_params": map[string]any{}, "resources": resources,
		}), http.StatusBadRequest, "INVALID_INPUT", field)
		a.refused(a.call("POST", "/v1/workload-configs", a.dev.CustomerKey, map[string]any{
			"workload_type": "sleep", "resources": resources,
		}), http.StatusBadRequest, "INVALID_INPUT", field)
	}
	for field, resources := range map[string]map[string]any{
		"resources.devices.id":     {"devices": []any{map[string]any{"id": "0"}, map[string]any{"id": "0"}}},
		"resources.custom.licence": {"custom": map[string]any{"licence": -1}},
	} {
		a.refused(a.call("POST", "/v1/worker/register", a.dev.WorkerKey, map[string]any{
			"worker_id": "w", "session_id": "s", "capabilities": []string{"t"}, "slots": 1, "resources": resources,
		}), http.StatusBadRequest, "INVALID_INPUT", field)
	}
}
