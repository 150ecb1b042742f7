package http

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// WorkerRegister implements POST /v1/worker/register.
func (a *api) WorkerRegister(
	ctx context.Context, req gen.WorkerRegisterRequestObject,
) (gen.WorkerRegisterResponseObject, error) {
	g, err := a.Plane.Register(ctx, *req.Body)
	if err != nil {
		return nil, err
	}
	return gen.WorkerRegister200JSONResponse(g), nil
}

// WorkerHeartbeat implements POST /v1/worker/heartbeat.
func (a *api) WorkerHeartbeat(
	ctx context.Context, req gen.WorkerHeartbeatRequestObject,
) (gen.WorkerHeartbeatResponseObject, error) {
	ans, err := a.Plane.Heartbeat(ctx, *req.Body)
	if err != nil {
		return nil, err
	}
	return gen.WorkerHeartbeat200JSONResponse(ans), nil
}

// WorkerEnd implements POST /v1/worker/end.
func (a *api) WorkerEnd(ctx context.Context, req gen.WorkerEndRequestObject) (gen.WorkerEndResponseObject, error) {
	if err := a.Plane.End(ctx, *req.Body); err != nil {
		return nil, err
	}
	return gen.WorkerEnd204Response{}, nil
}

func sessionRef(worker, session string) ports.SessionRef {
	return ports.SessionRef{WorkerID: domain.WorkerID(worker), SessionID: domain.SessionID(session)}
}

// How long a poll waits for a command: if the worker does not say, and at most.
const (
	defaultPoll = 20 * time.Second
	maxPoll     = 30 * time.Second
)

// WorkerPoll implements POST /v1/worker/poll.
func (a *api) WorkerPoll(ctx context.Context, req gen.WorkerPollRequestObject) (gen.WorkerPollResponseObject, error) {
	longest := defaultPoll
	if req.Body.WaitMs != nil {
		longest = min(max(time.Duration(*req.Body.WaitMs)*time.Millisecond, 0), maxPoll)
	}
	ref := sessionRef(req.Body.WorkerID, req.Body.SessionID)
	commands, err := wait(ctx, a, func(ctx context.Context) ([]ports.Command, error) {
		return a.Plane.Poll(ctx, ref, longest)
	})
	if errors.Is(err, errStopping) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return gen.WorkerPoll200JSONResponse{Commands: emptyIfNone(commands)}, nil
}

// WorkerReport implements POST /v1/worker/report.
func (a *api) WorkerReport(
	ctx context.Context, req gen.WorkerReportRequestObject,
) (gen.WorkerReportResponseObject, error) {
	ref := sessionRef(req.Body.WorkerID, req.Body.SessionID)
	answers, err := a.Plane.Report(ctx, ref, req.Body.Reports)
	if err != nil {
		return nil, err
	}
	return gen.WorkerReport200JSONResponse{Answers: emptyIfNone(answers)}, nil
}

// WorkerSaveCheckpoint implements PUT /v1/worker/workloads/{id}/checkpoints/{sequence}.
func (a *api) WorkerSaveCheckpoint(
	ctx context.Context, req gen.WorkerSaveCheckpointRequestObject,
) (gen.WorkerSaveCheckpointResponseObject, error) {
	up := ports.CheckpointUpload{
		WorkloadID: workloadID(req.ID), Generation: req.Params.Generation, Sequence: req.Sequence,
		Percent: req.Params.ProgressPercent, Message: deref(req.Params.ProgressMessage),
	}
	var err error
	if up.Data, up.Body, err = checkpointBody(req.Body, scopeOf(ctx).length); err != nil {
		return nil, err
	}
	ans, err := a.Plane.SaveCheckpoint(ctx, sessionRef(req.Params.WorkerID, req.Params.SessionID), up)
	if err != nil {
		return nil, err
	}
	return gen.WorkerSaveCheckpoint200JSONResponse(ans), nil
}

// WorkerLoadCheckpoint implements GET /v1/worker/workloads/{id}/checkpoints/{sequence}.
func (a *api) WorkerLoadCheckpoint(
	ctx context.Context, req gen.WorkerLoadCheckpointRequestObject,
) (gen.WorkerLoadCheckpointResponseObject, error) {
	ref := sessionRef(req.Params.WorkerID, req.Params.SessionID)
	c, err := a.Plane.LoadCheckpoint(ctx, ref, workloadID(req.ID), req.Params.Generation, req.Sequence)
	switch {
	case err != nil:
		return nil, err
	case c.Body != nil && scopeOf(ctx).method == http.MethodHead:
		_ = c.Body.Close() // nothing was read
		c.Body = nil
		return streamed{c}, nil
	case c.Body != nil:
		return streamed{c}, nil
	}
	return gen.WorkerLoadCheckpoint200ApplicationOctetStreamResponse{
		Body: bytes.NewReader(c.Data), ContentLength: int64(len(c.Data)),
		Headers: gen.WorkerLoadCheckpoint200ResponseHeaders{NiyantaCheckpointSequence: c.Sequence},
	}, nil
}
