package domain

import "time"

// The deletion of a customer has two parts. The first one is a transaction that marks the customer,
// ends its keys and keeps everybody from storing anything for it. The second one removes what the
// customer has, in the background and in small batches, and at last the customer itself. What stays
// is a tombstone, so that the id is never given out again, and the audit of administrators.

// Actions of deletions.
const (
	ActionCustomerDeleted AdminAction = "customer.deleted"
	ActionCustomerErased  AdminAction = "customer.erased"
)

// Deleting reports whether the customer is being deleted.
func (c Customer) Deleting() bool { return !c.DeletingAt.IsZero() }

// CheckKept returns CodeInvalidState while the customer is being deleted: it cannot be changed, and
// nothing can be stored for it.
func (c Customer) CheckKept() error {
	if !c.Deleting() {
		return nil
	}
	return NewError(CodeInvalidState, "customer %s is being deleted", c.ID).With("status", "deleting")
}

// Delete begins the deletion of the customer and returns it as it is stored at that time, and the
// event. unfinished counts its unfinished workloads. CodeConflict with the detail "unfinished" if
// there are any, unless forced. A customer that is being deleted stays so since then.
func (c Customer) Delete(unfinished int, force bool, by Admin, now time.Time) (Customer, AdminEvent, error) {
	next := c
	if !c.Deleting() {
		if unfinished > 0 && !force {
			return c, AdminEvent{}, NewError(CodeConflict, "the customer has unfinished workloads: %d", unfinished).
				With("unfinished", unfinished)
		}
		next.DeletingAt, next.UpdatedAt = now, now
	}
	return next, by.did(ActionCustomerDeleted, c.target(), c.ID, c.document(), next.document(), now), nil
}

// Erased returns the event of the end of the deletion: nothing of the customer is left.
func (c Customer) Erased(by Admin, now time.Time) AdminEvent {
	return by.did(ActionCustomerErased, c.target(), c.ID, c.document(), nil, now)
}
