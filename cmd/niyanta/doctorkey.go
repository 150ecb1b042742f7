package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// key checks to whom the key belongs and what it may do.
func (d *doctor) key(ctx context.Context, t target) {
	cl, err := t.client(niyanta.RetryFor(0))
	if err != nil {
		return // examine has reported the error
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	from := ", from " + t.keySource
	u, err := cl.Customer(ctx)
	switch {
	case err == nil:
		d.customersKey(ctx, cl, u, from)
	case errors.Is(err, niyanta.ErrUnauthorized):
		d.add("key", findingProblem, "it is unknown, expired or revoked"+from,
			"ask an operator for a new one (niyanta key create); niyanta dev prints its keys, and --fresh changes them")
	case errors.Is(err, niyanta.ErrForbidden):
		d.operatorsKey(ctx, cl, from)
	default:
		d.add("key", findingProblem, err.Error(), "")
	}
}

func (d *doctor) customersKey(ctx context.Context, cl *niyanta.Client, u niyanta.CustomerUsage, from string) {
	role := "customer"
	// The workload does not exist. A customer's key gets NOT_FOUND, a viewer's key FORBIDDEN.
	if _, err := cl.Cancel(ctx, "wl_doctor", "", ""); errors.Is(err, niyanta.ErrForbidden) {
		role = "viewer"
	}
	found := fmt.Sprintf("role %s of %s (%s)%s", role, u.CustomerID, u.Name, from)
	if role == "viewer" {
		found += "; it may read, without inputs and results"
	}
	d.add("key", findingOK, found, "")
	if u.SuspendedAt != nil {
		d.add("customer", findingProblem, "suspended since "+clock(*u.SuspendedAt)+": no workload is accepted or started",
			"an operator can end this: niyanta customer reactivate "+u.CustomerID)
		return
	}
	queue := fmt.Sprintf("%d of %d wait, %d of %d run", u.Usage.CurrentQueueDepth, u.Limits.MaxQueueDepth,
		u.Usage.CurrentRunningWorkloads, u.Limits.MaxConcurrentWorkloads)
	if u.Usage.CurrentQueueDepth >= u.Limits.MaxQueueDepth {
		d.add("customer", findingWarning, queue+": the queue is full",
			"wait until some have run, or ask an operator for a higher limit; niyanta workload explain says why one waits")
		return
	}
	d.add("customer", findingOK, queue, "")
	if u.Usage.CurrentQueueDepth > 0 {
		d.stuck(ctx, cl, (*niyanta.Client).List)
	}
}

func (d *doctor) operatorsKey(ctx context.Context, cl *niyanta.Client, from string) {
	workers, err := niyanta.Collect(cl.Workers(ctx))
	switch {
	case errors.Is(err, niyanta.ErrForbidden):
		d.add("key", findingProblem, "it is a worker's"+from+"; client commands cannot use it",
			"use a customer's key, or an admin's")
		return
	case err != nil:
		d.add("key", findingProblem, err.Error(), "")
		return
	}
	// The worker does not exist. An admin's key gets NOT_FOUND, a scaler's key FORBIDDEN.
	if _, err := cl.Worker(ctx, "doctor"); errors.Is(err, niyanta.ErrForbidden) {
		d.add("key", findingWarning, "role scaler"+from+": it shows how many workers are needed, and nothing else",
			"use a customer's key, or an admin's, for anything but niyanta scaling and niyanta scale-exporter")
		return
	}
	d.add("key", findingOK, "role admin"+from, "")
	healthy, used, total := 0, 0, 0
	versions := map[string]bool{}
	for _, w := range workers {
		if w.Status == niyanta.WorkerHealthy {
			healthy++
			used, total = used+w.CapacityUsed, total+w.CapacityTotal
			versions[w.Version] = true
		}
	}
	found := fmt.Sprintf("%d of %s healthy, %d of %s used", healthy, counted(len(workers), "worker"), used,
		counted(total, "slot"))
	switch {
	case healthy == 0:
		d.add("workers", findingWarning, found, "nothing runs until one registers: start niyanta worker with a worker key")
	case used == total:
		d.add("workers", findingWarning, found, "more work waits until a slot is free: add workers, or slots")
	default:
		if len(versions) > 1 {
			found += "; they have " + counted(len(versions), "version")
		}
		d.add("workers", findingOK, strings.TrimSpace(found), "")
	}
	d.stuck(ctx, cl, func(cl *niyanta.Client, ctx context.Context, p niyanta.ListParams) (niyanta.WorkloadList, error) {
		return cl.ListAll(ctx, "", p)
	})
}
