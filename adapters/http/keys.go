package http

import (
	"context"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

// CreateKey implements POST /v1/admin/customers/{id}/keys.
func (a *api) CreateKey(ctx context.Context, req gen.CreateKeyRequestObject) (gen.CreateKeyResponseObject, error) {
	k, secret, err := a.Tenancy.CreateKey(ctx, domain.APIKey{
		CustomerID: customerID(req.ID), Role: domain.Role(req.Body.Role), Name: deref(req.Body.Name),
		ExpiresAt: deref(req.Body.ExpiresAt).Time,
	}, admin(ctx))
	if err != nil {
		return nil, err
	}
	return gen.CreateKey201JSONResponse{
		KeyID: string(k.ID), Key: secret, Name: k.Name, Role: gen.KeyRole(k.Role), ExpiresAt: optTime(k.ExpiresAt),
	}, nil
}

// ListKeys implements GET /v1/admin/customers/{id}/keys.
func (a *api) ListKeys(ctx context.Context, req gen.ListKeysRequestObject) (gen.ListKeysResponseObject, error) {
	ks, err := a.Tenancy.ListKeys(ctx, customerID(req.ID))
	if err != nil {
		return nil, err
	}
	ks, pagination, err := page(a, ks, byAge, req.Params.Limit, req.Params.Cursor, "keys "+req.ID)
	if err != nil {
		return nil, err
	}
	return gen.ListKeys200JSONResponse{Pagination: pagination, Keys: mapSlice(ks, func(k *domain.APIKey) gen.Key {
		return gen.Key{
			KeyID: string(k.ID), Prefix: k.Prefix, Name: k.Name, Role: gen.KeyRole(k.Role), CreatedAt: at(k.CreatedAt),
			ExpiresAt: optTime(k.ExpiresAt), RevokedAt: optTime(k.RevokedAt),
		}
	})}, nil
}

// byAge orders keys, the oldest first.
func byAge(k *domain.APIKey) string {
	return k.CreatedAt.UTC().Format("2006-01-02T15:04:05.000000000") + string(k.ID)
}

// RevokeKey implements DELETE /v1/admin/customers/{id}/keys/{key_id}.
func (a *api) RevokeKey(ctx context.Context, req gen.RevokeKeyRequestObject) (gen.RevokeKeyResponseObject, error) {
	if err := a.Tenancy.RevokeKey(ctx, customerID(req.ID), keyID(req.KeyID), admin(ctx)); err != nil {
		return nil, err
	}
	return gen.RevokeKey204Response{}, nil
}
