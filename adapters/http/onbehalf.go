package http

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// onBehalf makes an administrator who names a workload act for the workload's customer: from here on
// the caller's customer is that one, as if one of its keys had been sent. What stores change for
// such a caller they record as the administrator's action. What changes nothing is recorded here,
// before it is done.
func (a *api) onBehalf(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := scopeOf(r.Context())
		if s.principal.Role != domain.RoleAdmin || !s.op.namesWorkload() {
			next.ServeHTTP(w, r)
			return
		}
		id := workloadID(pathParams(r)["id"])
		if !domain.StorableID(id) {
			a.fail(w, r, domain.NotFound("workload"))
			return
		}
		owner, err := a.Lifecycle.Owner(r.Context(), id)
		if err == nil {
			err = a.recordAsked(r, id, owner)
		}
		if err != nil {
			a.fail(w, r, err)
			return
		}
		s.actFor(r.Context(), owner)
		next.ServeHTTP(w, r)
	})
}

// actFor makes the administrator act for a customer.
func (s *scope) actFor(ctx context.Context, customer domain.CustomerID) {
	by := admin(ctx)
	s.principal.CustomerID, s.principal.Admin = customer, &by
}

// namesWorkload reports whether the path of the operation names a customer's workload.
func (o operation) namesWorkload() bool {
	return o.tag != "worker" && strings.Contains(o.path, "/workloads/{id}")
}

// recordAsked records what an administrator asks for, unless the store does when it changes
// something.
func (a *api) recordAsked(r *http.Request, id domain.WorkloadID, owner domain.CustomerID) error {
	ctx, target := r.Context(), domain.Target{Kind: domain.TargetWorkload, ID: string(id)}
	operation := scopeOf(ctx).op.route.Operation.OperationID
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return a.Auditing.RecordRead(ctx, admin(ctx).Asked(domain.ActionWorkloadRead, target, owner, operation))
	case operation == "checkpointWorkload":
		return a.Auditing.Record(ctx, admin(ctx).Asked(domain.ActionWorkloadCheckpointAsked, target, owner, operation))
	}
	return nil
}

// selectCustomer makes an administrator who sends a filter act for the customer that the filter
// names. Nobody else may name one.
func (a *api) selectCustomer(ctx context.Context, filter *gen.BulkFilter) error {
	s := scopeOf(ctx)
	switch {
	case s.principal.Role != domain.RoleAdmin && filter.CustomerID != nil:
		return domain.Invalid("filter.customer_id", "is for administrators")
	case s.principal.Role != domain.RoleAdmin:
		return nil
	case filter.CustomerID == nil:
		return domain.Invalid("filter.customer_id", "is required")
	}
	of := customerID(*filter.CustomerID)
	_, err := a.Tenancy.GetCustomer(ctx, of)
	switch {
	case domain.IsCode(err, domain.CodeNotFound):
		return domain.Invalid("filter.customer_id", "is no customer's")
	case err != nil:
		return err
	}
	s.actFor(ctx, of)
	return a.Auditing.RecordRead(ctx, admin(ctx).Asked(domain.ActionWorkloadListed,
		domain.Target{Kind: domain.TargetCustomer, ID: string(of)}, of, s.op.route.Operation.OperationID))
}

// bulkIDs does a bulk request with ids: for an administrator, for the customer of each. When it
// fails after something was done for one customer, the workloads of the others are answered with its
// error, so that what has happened is told.
func (a *api) bulkIDs(ctx context.Context, req lifecycle.BulkRequest) (all lifecycle.BulkAnswer, err error) {
	s := scopeOf(ctx)
	if s.principal.Role != domain.RoleAdmin {
		return a.Lifecycle.Bulk(ctx, s.principal, req)
	}
	owned, err := a.Lifecycle.ByOwner(ctx, req.IDs)
	if err != nil {
		return all, err
	}
	for _, owner := range slices.Sorted(maps.Keys(owned)) {
		ids := owned[owner]
		p, part := s.principal, req
		p.CustomerID, p.Admin, part.IDs = owner, new(admin(ctx)), ids
		if req.DryRun {
			read := p.Admin.Asked(domain.ActionWorkloadListed,
				domain.Target{Kind: domain.TargetCustomer, ID: string(owner)}, owner, s.op.route.Operation.OperationID)
			if err := a.Auditing.RecordRead(ctx, read); err != nil {
				return all, err
			}
		}
		answer, err := a.Lifecycle.Bulk(ctx, p, part)
		switch {
		case err != nil && len(all.Outcomes) == 0:
			return all, err
		case err != nil:
			for _, id := range ids {
				answer.Outcomes = append(answer.Outcomes, lifecycle.BulkOutcome{ID: id, Err: err})
			}
		}
		all.Matched += answer.Matched
		all.Outcomes = append(all.Outcomes, answer.Outcomes...)
	}
	return all, nil
}
