package placement_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

func TestUsage_OfHealthyWorkers_IsSummedUpByResourceAndModel(t *testing.T) {
	drains := gpuWorker(4, 64, 8, "A10")
	drains.Status = domain.WorkerDraining
	licences := worker(3, 100, "t")
	licences.Resources.Custom = map[string]int64{"licence": 3}
	half := gpuLane(domain.Resources{GPUs: 500, Amounts: domain.Amounts{CPUCores: 1500}})
	licence := gpuLane(domain.Resources{Custom: map[string]int64{"licence": 1}})
	ending := holds(2, half, "gpu0")
	ending.Count, ending.Ending = 0, 1
	s := placement.Snapshot{
		Workers:   []domain.Worker{gpuWorker(1, 4, 2, "H100"), gpuWorker(2, 8, 1, "A10"), licences, drains},
		Occupancy: []domain.Occupancy{holds(1, half, "gpu1"), ending, holds(3, licence)},
	}
	assert.Equal(t, []domain.ResourceUsage{
		{Resource: "cpu_cores", Allocated: 3, Free: 9},
		{Resource: "gpus", Model: "A10", Allocated: 0.5, Free: 0.5},
		{Resource: "gpus", Model: "H100", Allocated: 0.5, Free: 1.5},
		{Resource: "licence", Allocated: 1, Free: 2},
	}, placement.NewPlanner(s).Usage())
}
