package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

var (
	user     = domain.Actor{Kind: domain.ActorUser, ID: "key"}
	operator = domain.Admin{KeyID: "key_operator"}
)

// client makes one random request of a client.
func (w *World) client(ctx context.Context) {
	c := w.reachable()
	if c == nil {
		return
	}
	switch n := w.rng.IntN(11); {
	case n < 5 || len(w.acknowledged) == 0:
		w.actAs(c, nil, func() { w.submit(ctx, c, w.submitter(), w.request()) })
	case n == 5:
		w.setLimit(ctx, w.submitter(), 2+w.rng.IntN(8))
	case n == 6:
		w.administer(ctx, c)
	default:
		id := w.acknowledged[w.rng.IntN(len(w.acknowledged))]
		w.actAs(c, nil, func() { w.control(ctx, c, id) })
	}
}

// submitter draws a customer. Every third time it is the guest, also one that is being deleted or
// gone.
func (w *World) submitter() *account {
	if w.rng.IntN(3) == 0 {
		return w.guest()
	}
	return w.tenant()
}

// setLimit has an administrator change a customer's running limit.
func (w *World) setLimit(ctx context.Context, a *account, limit int) {
	patch := domain.CustomerPatch{Limits: domain.LimitsPatch{MaxConcurrent: domain.To(limit)}}
	if _, err := w.stores.Customers.Update(ctx, a.id, patch, operator); err == nil {
		a.limit = limit
	}
}

// control makes one random request about an existing workload.
func (w *World) control(ctx context.Context, c *process, id domain.WorkloadID) {
	switch w.rng.IntN(8) {
	case 0:
		w.cancel(ctx, c, id)
	case 7:
		w.retry(ctx, c, id, []*domain.Restore{{}, {}, {}, nil}[w.rng.IntN(4)])
	case 4:
		w.preempt(ctx, id)
	case 1, 2:
		_, _, _ = c.Lifecycle.Pause(ctx, w.owners[id].id, id, user, "")
	case 3:
		w.trespass(ctx, c, id)
	default:
		_, _ = c.Lifecycle.Resume(ctx, w.owners[id].id, id, user, "")
	}
}

// cancel cancels a workload, and reports whether that was acknowledged. A cancel that was not
// acknowledged may have happened all the same. The idempotency key depends only on the workload, so
// the next call repeats it.
func (w *World) cancel(ctx context.Context, c *process, id domain.WorkloadID) bool {
	_, err := c.Lifecycle.Cancel(ctx, w.owners[id].id, id, user, "", "cancel "+string(id))
	if err == nil {
		w.check.cancelled(id)
	}
	return err == nil
}

// retry runs a workload again as a new one.
func (w *World) retry(ctx context.Context, c *process, id domain.WorkloadID, restore *domain.Restore) {
	a := w.owners[id]
	wl, err := c.Lifecycle.Retry(ctx, a.principal(), lifecycle.RetryRequest{
		Workload: id, Restore: restore, IdempotencyKey: fmt.Sprint("retry ", id, restore == nil),
	})
	if err != nil {
		return
	}
	if tag := w.requiredTag[id]; tag != "" {
		w.requiredTag[wl.ID] = tag
	}
	w.acknowledge(wl.ID, a)
}

// acknowledge records that a client knows the workload.
func (w *World) acknowledge(id domain.WorkloadID, a *account) {
	w.own(id, a)
	if !slices.Contains(w.acknowledged, id) {
		w.acknowledged = append(w.acknowledged, id)
	}
}

// preempt sends the preempt command for a running workload, as the leader does. The command is a
// message on the bus, so it may be lost, repeated or late.
func (w *World) preempt(ctx context.Context, id domain.WorkloadID) {
	found, err := w.stores.Workloads.GetAny(ctx, id)
	if err != nil || len(found) == 0 || found[0].Status != domain.StatusRunning {
		return
	}
	w.net.Command(ctx, found[0].WorkerID, ports.Command{
		Kind: ports.CommandPreempt, SessionID: found[0].SessionID, WorkloadID: id,
		Generation: found[0].Generation, Reason: preempted,
	})
}

// preempted is the reason of the preempt command, and so of the release that answers it.
const preempted = "preempted by wl_x of tier enterprise"

// noWorkersTag is a tag that no worker has.
const noWorkersTag = "no worker's"

// trespass sends requests of another customer about the workload. Each must fail as not found
// (I12).
func (w *World) trespass(ctx context.Context, c *process, id domain.WorkloadID) {
	_, got := c.Lifecycle.Get(ctx, stranger, id)
	_, cancelled := c.Lifecycle.Cancel(ctx, stranger, id, user, "", "")
	_, _, paused := c.Lifecycle.Pause(ctx, stranger, id, user, "")
	_, resumed := c.Lifecycle.Resume(ctx, stranger, id, user, "")
	_, retried := c.Lifecycle.Retry(ctx, domain.Principal{Role: domain.RoleCustomer, CustomerID: stranger},
		lifecycle.RetryRequest{Workload: id})
	_, audited := c.Lifecycle.ReadAudit(ctx, stranger, id, 0, 10)
	for what, err := range map[string]error{
		"get": got, "cancel": cancelled, "pause": paused, "resume": resumed, "retry": retried,
		"audit": audited,
	} {
		if code := domain.CodeOf(err); code != domain.CodeNotFound && code != domain.CodeUnavailable {
			w.check.fail("I12", "another customer's %s of %s is answered with %v", what, id, err)
		}
	}
}

// request draws a submission of a client.
func (w *World) request() lifecycle.SubmitRequest {
	in := scriptInput{Steps: 1 + w.rng.IntN(6), Fails: max(w.rng.IntN(12)-6, 0)}
	var req lifecycle.SubmitRequest
	switch w.rng.IntN(12) {
	case 0, 1, 2, 3:
		w.keys += w.rng.IntN(2) // half of the time, the key that was used last
		req.IdempotencyKey = fmt.Sprint("k", w.keys)
		in = scriptInput{Steps: 2}
	case 4, 5, 6:
		req.Affinity.Hard.WorkerTags = map[string]string{"tag": "gold"}
	case 7:
		in.Hangs = true
		req.Timeout = new(10 * time.Second)
	case 8:
		in.IgnoresStop = true
		req.Timeout = new(10 * time.Second)
	case 10:
		req.Affinity.Hard.WorkerTags = map[string]string{"tag": noWorkersTag} // it waits until it is cancelled
	case 11:
		req.Affinity.Anti.WorkloadTypes = []string{"t"} // no other workload of its customer on its worker
	case 9:
		req.RunAt = w.Now().Add(time.Duration(w.rng.IntN(120)) * time.Second)
	default:
	}
	if w.rng.IntN(2) == 0 {
		r := w.resources()
		req.Resources = &r
	}
	req.Type, req.Input = "t", in.json()
	return req
}

func (in scriptInput) json() domain.JSON {
	raw, err := json.Marshal(in)
	if err != nil {
		panic(err) // it holds only numbers and booleans
	}
	return domain.JSON(raw)
}

// submit submits a request, and records the workload if the submission was acknowledged. Otherwise
// it returns no id.
func (w *World) submit(
	ctx context.Context, c *process, a *account, req lifecycle.SubmitRequest,
) domain.WorkloadID {
	wl, err := c.Lifecycle.Submit(ctx, a.principal(), req)
	if err != nil {
		return ""
	}
	if tag := req.Affinity.Hard.WorkerTags["tag"]; tag != "" {
		w.requiredTag[wl.ID] = tag
	}
	w.acknowledge(wl.ID, a)
	return wl.ID
}
