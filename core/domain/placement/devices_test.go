package placement_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

// gpuWorker returns worker n with processors and devices of one model.
func gpuWorker(n int, cores domain.Milli, devices int, model string) domain.Worker {
	w := worker(n, 100, "t")
	w.Resources.CPUCores = cores * domain.One
	for i := range devices {
		w.Resources.Devices = append(w.Resources.Devices, domain.Device{ID: fmt.Sprint("gpu", i), Model: model})
	}
	return w
}

// gpuLane returns a lane of customer a whose workloads need this.
func gpuLane(r domain.Resources, ages ...int) domain.LaneHeads {
	l := lane("a", "t", domain.Affinity{}, ages...)
	run := domain.DefaultRunConfig()
	run.Resources = r
	l.Lane = domain.NewLane(&domain.Spec{CustomerID: "a", Type: "t", Run: run})
	for i := range l.Heads {
		l.Heads[i].ID = domain.WorkloadID(fmt.Sprintf("%s-%d", l.Lane.ID, i))
	}
	return l
}

func TestPlan_Devices_AreNamedAndNeverGivenTwice(t *testing.T) {
	s := placement.Snapshot{Workers: []domain.Worker{gpuWorker(1, 0, 2, "A10")}}
	as := plan(s, 10, gpuLane(domain.Resources{GPUs: domain.One}, 1, 2, 3))
	require.Len(t, as, 2)
	assert.Equal(t, []domain.DeviceShare{{ID: "gpu0", Share: domain.One}}, as[0].Devices)
	assert.Equal(t, []domain.DeviceShare{{ID: "gpu1", Share: domain.One}}, as[1].Devices)
	assert.Len(t, plan(s, 10, gpuLane(domain.Resources{GPUs: 400}, 1, 2, 3, 4, 5)), 4, "two shares of 0.4 on each device")
	assert.Empty(t, plan(s, 10, gpuLane(domain.Resources{GPUs: domain.One, GPUModels: []string{"H100"}}, 1)))

	half := gpuLane(domain.Resources{GPUs: 500}).Lane
	s.Occupancy = []domain.Occupancy{{
		SessionID: "s1", Lane: half, Count: 1, Ending: 1,
		Devices: []domain.DeviceShare{{ID: "gpu0", Share: 500}, {ID: "gpu1", Share: 500}},
		Ends:    []time.Time{epoch0, epoch0},
	}}
	assert.Empty(t, plan(s, 10, gpuLane(domain.Resources{GPUs: domain.One}, 1)), "no device is whole")
	assert.Len(t, plan(s, 10, gpuLane(domain.Resources{GPUs: 500}, 1, 2, 3)), 2)
}

func TestPlan_Mix_KeepsDevicesWholeForTheWorkThatNeedsThem(t *testing.T) {
	whole, share := domain.Resources{GPUs: 2 * domain.One}, domain.Resources{GPUs: 500}
	s := placement.Snapshot{
		Workers: []domain.Worker{gpuWorker(1, 0, 2, "A10"), gpuWorker(2, 0, 2, "A10")},
		Mix:     []domain.MixClass{{Resources: whole, Weight: 1}, {Resources: share, Weight: 1}},
	}
	as := plan(s, 10, gpuLane(share, 1, 2), gpuLane(whole, 3))
	require.Len(t, as, 3, "both shares go to one worker, and so the other is left for both devices")
	assert.Equal(t, as[0].WorkerID, as[1].WorkerID)
	assert.Equal(t, as[0].Devices, as[1].Devices, "on one device")
	assert.NotEqual(t, as[0].WorkerID, as[2].WorkerID)
	s.Mix = nil
	as = plan(s, 10, gpuLane(share, 1, 2))
	require.Len(t, as, 2)
	assert.NotEqual(t, as[0].WorkerID, as[1].WorkerID, "without a mix the shares are spread")
}

func TestPlan_WorkWithoutDevices_LeavesProcessorsOfDevicesAlone(t *testing.T) {
	plain := worker(3, 100, "t")
	plain.Resources.CPUCores = 8 * domain.One
	cores := domain.Resources{Amounts: domain.Amounts{CPUCores: 4 * domain.One}}
	gpu := domain.Resources{Amounts: domain.Amounts{CPUCores: 4 * domain.One}, GPUs: domain.One}
	s := placement.Snapshot{
		Workers: []domain.Worker{gpuWorker(1, 8, 2, "A10"), gpuWorker(2, 8, 2, "A10"), plain},
		Mix:     []domain.MixClass{{Resources: gpu, Weight: 3}, {Resources: cores, Weight: 1}},
	}
	for _, a := range plan(s, 2, gpuLane(cores, 1, 2)) {
		assert.Equal(t, domain.WorkerID("w3"), a.WorkerID)
	}
	assert.Len(t, plan(s, 10, gpuLane(cores, 1, 2), gpuLane(gpu, 3, 4, 5, 6)), 6)
}

func TestExplain_ShortResource_IsNamed(t *testing.T) {
	s := placement.Snapshot{
		Workers: []domain.Worker{gpuWorker(1, 4, 2, "A10"), gpuWorker(2, 64, 1, "A10"), gpuWorker(3, 64, 0, "")},
		Occupancy: []domain.Occupancy{{
			SessionID: "s1", Lane: gpuLane(domain.Resources{GPUs: 500}).Lane, Count: 1,
			Devices: []domain.DeviceShare{{ID: "gpu1", Share: 500}}, Ends: []time.Time{epoch0},
		}},
	}
	e := placement.NewExplainer(s)
	two := gpuLane(domain.Resources{GPUs: 2 * domain.One}).Lane
	assert.Equal(t, []placement.Reason{
		{
			Code: placement.ReasonTooSmall, Workers: 2, Message: "2 workers too small: not enough gpus even if empty",
			WorkerIDs: named("w2", "w3"),
		},
		{
			Code: placement.ReasonResources, Workers: 1,
			Message: "1 worker with free slots but not enough gpus left (enough when empty)", WorkerIDs: named("w1"),
		},
	}, e.Explain(&two))
	assert.True(t, e.Placeable(&two), "it would fit on an empty one")
	three := gpuLane(domain.Resources{GPUs: 3 * domain.One}).Lane
	assert.False(t, e.Placeable(&three))
	licence := gpuLane(domain.Resources{Custom: map[string]int64{"licence": 1}}).Lane
	assert.Equal(t, "3 workers too small: not enough licence even if empty", e.Explain(&licence)[0].Message)
}
