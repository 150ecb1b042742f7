package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// oneFleet checks that the coordinators of an address with several belong together. Coordinators
// that do not share a database have keys, workloads and a leader of their own, so that a client that
// fails over finds nothing of what it submitted.
func (d *doctor) oneFleet(ctx context.Context, t target) {
	const advice = "give all coordinators the same NIYANTA_STORE=postgres and NIYANTA_POSTGRES_URL, or correct the list"
	addresses := strings.Split(t.url, ",")
	if len(addresses) < 2 {
		return
	}
	// The leader may have changed between two answers. So all are asked again.
	if len(d.leaders) > 1 {
		again := slices.DeleteFunc(slices.Clone(d.leaders), func(a string) bool { return !leads(ctx, t, a) })
		if len(again) > 1 {
			d.add("coordinators", findingProblem, strings.Join(again, " and ")+" each lead: they do not share a database",
				advice)
			return
		}
	}
	var know, not []string
	for _, address := range addresses {
		address = strings.TrimSpace(address)
		switch known, err := knowsKey(ctx, t, address); {
		case err != nil: // the check of the connection says why
		case known:
			know = append(know, address)
		default:
			not = append(not, address)
		}
	}
	if len(know) > 0 && len(not) > 0 {
		d.add("coordinators", findingProblem, fmt.Sprintf("%s accepts the key, %s does not: they do not share a database",
			strings.Join(know, ", "), strings.Join(not, ", ")), advice)
	}
}

// leads reports whether the coordinator at an address says that it leads.
func leads(ctx context.Context, t target, address string) bool {
	t.url, t.key = address, ""
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	cl, err := t.client(niyanta.RetryFor(0))
	if err != nil {
		return false
	}
	defer cl.Close()
	r, err := cl.Ready(ctx)
	return err == nil && r.IsLeader
}

// knowsKey reports whether the coordinator at an address knows the key.
func knowsKey(ctx context.Context, t target, address string) (bool, error) {
	t.url = address
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	cl, err := t.client(niyanta.RetryFor(0))
	if err != nil {
		return false, err
	}
	defer cl.Close()
	switch _, err = cl.Customer(ctx); {
	case errors.Is(err, niyanta.ErrUnauthorized):
		return false, nil
	case errors.Is(err, niyanta.ErrForbidden):
		return true, nil // an operator's key
	}
	return err == nil, err
}

// stuckLimit bounds how many of the oldest workloads are asked about.
const stuckLimit = 20

// stuck checks whether workers exist that could run what has waited longest.
func (d *doctor) stuck(ctx context.Context, cl *niyanta.Client,
	list func(*niyanta.Client, context.Context, niyanta.ListParams) (niyanta.WorkloadList, error),
) {
	l, err := list(cl, ctx, niyanta.ListParams{
		Status:  &[]niyanta.Status{niyanta.StatusPending, niyanta.StatusRedistributing},
		OrderBy: new(niyanta.OrderByCreatedAt), Order: new(niyanta.OrderAscending), Limit: new(stuckLimit),
	})
	if err != nil {
		d.add("queue", findingWarning, "what waits cannot be listed: "+err.Error(), "")
		return
	}
	for i := range l.Workloads {
		w := &l.Workloads[i]
		p, err := cl.Placement(ctx, w.WorkloadID)
		if err != nil || !p.Waiting || p.Placeable {
			continue
		}
		why := make([]string, len(p.Reasons))
		for n, r := range p.Reasons {
			why[n] = r.Message
		}
		d.add("queue", findingProblem, fmt.Sprintf("%s (%s) waits since %s, and no worker could run it: %s", w.WorkloadID,
			w.WorkloadType, w.CreatedAt.Local().Format(time.TimeOnly), strings.Join(why, "; ")),
			"start workers that offer the type and have the tags and resources that it needs; a worker offers exec for "+
				"the programs in its NIYANTA_EXEC_ALLOW")
		return
	}
}
