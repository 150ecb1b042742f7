package http

import (
	"context"
	"net/http"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

// CreateOperatorKey implements POST /v1/admin/keys.
func (a *api) CreateOperatorKey(
	ctx context.Context, req gen.CreateOperatorKeyRequestObject,
) (gen.CreateOperatorKeyResponseObject, error) {
	k, secret, err := a.Tenancy.CreateKey(ctx, domain.APIKey{
		Role: domain.Role(req.Body.Role), Name: req.Body.Name, ExpiresAt: deref(req.Body.ExpiresAt).Time,
		WorkerIDs: domain.WorkerPattern(deref(req.Body.WorkerIds)),
	}, admin(ctx))
	if err != nil {
		return nil, err
	}
	return gen.CreateOperatorKey201JSONResponse{
		KeyID: string(k.ID), Key: secret, Name: k.Name, Role: gen.OperatorRole(k.Role),
		WorkerIds: opt(string(k.WorkerIDs)), ExpiresAt: optTime(k.ExpiresAt),
	}, nil
}

// ListOperatorKeys implements GET /v1/admin/keys.
func (a *api) ListOperatorKeys(
	ctx context.Context, req gen.ListOperatorKeysRequestObject,
) (gen.ListOperatorKeysResponseObject, error) {
	ks, err := a.Tenancy.ListKeys(ctx, "")
	if err != nil {
		return nil, err
	}
	ks, pagination, err := page(a, ks, byAge, req.Params.Limit, req.Params.Cursor, "operator keys")
	if err != nil {
		return nil, err
	}
	return gen.ListOperatorKeys200JSONResponse{Pagination: pagination,
		Keys: mapSlice(ks, func(k *domain.APIKey) gen.OperatorKey {
			return gen.OperatorKey{
				KeyID: string(k.ID), Prefix: k.Prefix, Name: k.Name, Role: gen.OperatorRole(k.Role),
				WorkerIds: opt(string(k.WorkerIDs)), CreatedAt: at(k.CreatedAt),
				ExpiresAt: optTime(k.ExpiresAt), RevokedAt: optTime(k.RevokedAt),
			}
		})}, nil
}

// RevokeOperatorKey implements DELETE /v1/admin/keys/{key_id}.
func (a *api) RevokeOperatorKey(
	ctx context.Context, req gen.RevokeOperatorKeyRequestObject,
) (gen.RevokeOperatorKeyResponseObject, error) {
	if err := a.Tenancy.RevokeKey(ctx, "", keyID(req.KeyID), admin(ctx)); err != nil {
		return nil, err
	}
	return gen.RevokeOperatorKey204Response{}, nil
}

// checkWorker refuses a call of the worker protocol as a worker that the caller's key or
// certificate is not for. A death certificate names no worker: its secret proves that it concerns
// the caller's process.
func checkWorker(next gen.StrictHandlerFunc, _ string) gen.StrictHandlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
		s := scopeOf(ctx)
		if s.op.tag != "worker" {
			return next(ctx, w, r, request)
		}
		worker, certificate := workerOf(request)
		if certificate {
			return next(ctx, w, r, request)
		}
		if !s.principal.WorkerIDs.Matches(worker) {
			return nil, domain.NewError(domain.CodeForbidden, "the key is not for worker %q; it is for %q", worker,
				s.principal.WorkerIDs)
		}
		if err := s.workerNames.check(worker); err != nil {
			return nil, err
		}
		return next(ctx, w, r, request)
	}
}

// workerOf returns the worker that a call of the worker protocol comes from, or reports that the
// call is a death certificate.
func workerOf(request any) (worker domain.WorkerID, certificate bool) {
	switch q := request.(type) {
	case gen.WorkerRegisterRequestObject:
		return q.Body.WorkerID, false
	case gen.WorkerHeartbeatRequestObject:
		return q.Body.WorkerID, false
	case gen.WorkerEndRequestObject:
		return q.Body.WorkerID, q.Body.WorkerID == "" && q.Body.Certificate()
	case gen.WorkerPollRequestObject:
		return domain.WorkerID(q.Body.WorkerID), false
	case gen.WorkerReportRequestObject:
		return domain.WorkerID(q.Body.WorkerID), false
	case gen.WorkerSaveCheckpointRequestObject:
		return domain.WorkerID(q.Params.WorkerID), false
	case gen.WorkerLoadCheckpointRequestObject:
		return domain.WorkerID(q.Params.WorkerID), false
	}
	return "", false
}
