package simulation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// defaultLimit is the running limit of a new customer.
const defaultLimit = 8

// account is a customer that submits. The first one, the tenant, stays. The others are guests: one
// at a time, and each is deleted at some time, whatever it has. The next one comes when the storage
// says that the last one is gone.
type account struct {
	id    domain.CustomerID
	limit int                 // of what it runs at a time
	ids   []domain.WorkloadID // its workloads, oldest first
	// asked reports whether somebody has asked for its deletion. deleting reports whether that has
	// begun, gone whether it has finished: both by what was committed, whether or not somebody was
	// told.
	asked, deleting, gone bool
}

// principal returns the principal of the customer's key.
func (a *account) principal() domain.Principal {
	return domain.Principal{Role: domain.RoleCustomer, CustomerID: a.id, KeyID: "key"}
}

// config returns the id of the customer's config of the type that is simulated.
func (a *account) config() domain.ConfigID { return domain.ConfigID("wlcfg_" + string(a.id)) }

// keyPrefix returns the prefix of the customer's stored key.
func (a *account) keyPrefix() string { return "p" + string(a.id) }

// onboard creates a customer, with a config and a key. A short backoff makes many retries fit into
// a run.
func (w *World) onboard(id domain.CustomerID) error {
	ctx := context.Background()
	a := &account{id: id, limit: defaultLimit}
	w.accounts = append(w.accounts, a)
	_, err := w.stores.Customers.Create(ctx, domain.Customer{
		ID: id, Name: "A", Tier: domain.TierPremium, Overrides: domain.Limits{MaxConcurrent: a.limit},
	}, operator)
	config := domain.WorkloadConfig{ID: a.config(), CustomerID: id, Type: "t", RunConfig: domain.DefaultRunConfig()}
	config.Backoff = domain.RetryBackoff{Initial: time.Second, Factor: 2, Max: 5 * time.Minute}
	_, err2 := w.stores.Configs.Create(ctx, config)
	_, err3 := w.stores.Keys.Create(ctx, domain.APIKey{
		ID: domain.KeyID("key_" + string(id)), CustomerID: id, Role: domain.RoleCustomer, Prefix: a.keyPrefix(),
	}, operator)
	return errors.Join(err, err2, err3)
}

// tenant returns the customer that stays.
func (w *World) tenant() *account { return w.accounts[0] }

// guest returns the last guest. There is none before welcome was called.
func (w *World) guest() *account { return w.accounts[len(w.accounts)-1] }

// welcome onboards the next guest.
func (w *World) welcome() {
	if err := w.onboard(domain.CustomerID(fmt.Sprint("cust_guest", len(w.accounts)))); err != nil {
		w.check.fail("I16", "the next guest cannot be onboarded: %v", err)
	}
}

// own records whose a workload is.
func (w *World) own(id domain.WorkloadID, a *account) {
	if w.owners[id] == nil {
		w.owners[id] = a
		a.ids = append(a.ids, id)
	}
}

// account returns the account with that id.
func (w *World) account(id domain.CustomerID) *account {
	for _, a := range w.accounts {
		if a.id == id {
			return a
		}
	}
	return &account{id: id}
}

// deleting reports whether a customer is being deleted.
func (w *World) deleting() bool {
	for _, a := range w.accounts {
		if a.deleting && !a.gone {
			return true
		}
	}
	return false
}

// administer has an administrator delete the guest, or onboard the next one when it is gone.
func (w *World) administer(ctx context.Context, c *process) {
	switch g := w.guest(); {
	case g.gone:
		w.welcome()
	case !g.deleting || w.rng.IntN(4) == 0: // repeated now and then
		w.actAs(c, nil, func() { w.delete(ctx, c, g, w.rng.IntN(4) > 0) })
	}
}

// delete deletes a customer, and reports whether that was acknowledged.
func (w *World) delete(ctx context.Context, c *process, a *account, force bool) bool {
	a.asked = true
	_, err := c.Tenancy.DeleteCustomer(ctx, a.id, force, operator)
	w.learn(ctx)
	return err == nil
}

// learn asks the storage which customers are being deleted, and which are gone. With a backend that
// is not opaque, the checker has seen it.
func (w *World) learn(ctx context.Context) {
	if !w.backend.Opaque {
		return
	}
	for _, a := range w.accounts {
		switch c, err := w.stores.Customers.Get(ctx, a.id); {
		case err == nil:
			a.deleting = c.Deleting()
		case domain.CodeOf(err) == domain.CodeNotFound:
			a.gone = a.asked
		}
	}
}
