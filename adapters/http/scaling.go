package http

import (
	"context"

	"github.com/niyanta/niyanta/adapters/http/gen"
)

// GetScaling implements GET /v1/scaling.
func (a *api) GetScaling(ctx context.Context, _ gen.GetScalingRequestObject) (gen.GetScalingResponseObject, error) {
	pools, err := a.Scaling.Pools(ctx)
	if err != nil {
		return nil, err
	}
	out := gen.Scaling{Pools: make(map[string]gen.PoolScale, len(pools))}
	for _, p := range pools {
		out.Pools[p.Name] = gen.PoolScale{
			Waiting: p.Waiting, Running: p.Running, Capacity: p.Capacity, Workers: p.Workers,
			DesiredWorkers: p.DesiredWorkers, OldestWaitSeconds: p.OldestWait.Seconds(),
		}
	}
	return gen.GetScaling200JSONResponse(out), nil
}
