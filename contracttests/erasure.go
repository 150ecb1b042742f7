package contracttests

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// erase removes acme, as the erasure service does, until nothing more can be removed at once. It
// returns what the last call has done.
func (f *fixture) erase(limit int) ports.Erased {
	f.Helper()
	for range 1000 {
		ids, err := f.Erasure.Unfinished(f.Context(), acme, limit)
		require.NoError(f, err)
		require.LessOrEqual(f, len(ids), limit)
		for _, id := range ids {
			f.must(domain.Transition{WorkloadID: id, CustomerID: acme, Event: domain.EventCancel, Actor: coordinator})
		}
		e, err := f.Erasure.Erase(f.Context(), f.epoch, acme, limit, admin)
		require.NoError(f, err)
		if e.Done || !e.More && len(ids) == 0 {
			return e
		}
	}
	require.Fail(f, "the deletion does not end")
	return ports.Erased{}
}

// deleted notes that the values of a customer's garbage have been deleted, which furnish has left.
func (f *fixture) deleted(customer domain.CustomerID) {
	f.Helper()
	ids := []domain.BlobID{domain.BlobID("blob_" + string(customer)), domain.BlobID("blob_dropped_" + string(customer))}
	require.NoError(f, f.Uploads.Deleted(f.Context(), ids...))
}

// deletes begins the deletion of acme.
func (f *fixture) deletes(force bool) domain.Customer {
	f.Helper()
	c, err := f.Customers.Delete(f.Context(), acme, force, admin)
	require.NoError(f, err)
	require.True(f, c.Deleting())
	return c
}

// tombstoned requires that nothing is left of acme but what stays of a deleted customer.
func (f *fixture) tombstoned() {
	f.Helper()
	_, err := f.Customers.Get(f.Context(), acme)
	requireCode(f, err, domain.CodeNotFound)
	_, err = f.Customers.Create(f.Context(), domain.Customer{ID: acme, Name: "A", Tier: domain.TierFree}, admin)
	requireCode(f, err, domain.CodeConflict)
	_, err = f.Customers.Delete(f.Context(), acme, true, admin)
	requireCode(f, err, domain.CodeNotFound)
	deleting, err := f.Erasure.Deleting(f.Context(), "", 10)
	require.NoError(f, err)
	require.Empty(f, deleting)
}

// erasureCases are about the deletion of customers.
func erasureCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"a customer with unfinished work is not deleted unless forced", "CodeConflict with the detail unfinished",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 10)
				o := f.furnish(w, acme)[acme]
				for n, ends := range []domain.Transition{
					{}, cancel(o.waiting), cancel(o.delayed), cancel(o.running), cancel(o.paused),
				} {
					if n > 0 {
						f.must(ends)
					}
					c, err := f.Customers.Delete(t.Context(), acme, false, admin)
					if n == 4 {
						require.NoError(t, err)
						require.True(t, c.Deleting(), "an ending run is finished work")
						return
					}
					requireCode(t, err, domain.CodeConflict)
					var refused *domain.Error
					require.ErrorAs(t, err, &refused)
					require.Equal(t, map[string]any{"unfinished": 4 - n}, refused.Details)
					c, err = f.Customers.Get(t.Context(), acme)
					require.NoError(t, err)
					require.False(t, c.Deleting())
					require.NoError(t, c.CheckKept())
					e, err := f.Erasure.Erase(t.Context(), f.epoch, acme, 10, admin)
					require.NoError(t, err)
					require.Equal(t, ports.Erased{}, e, "who is not being deleted keeps everything")
				}
			}},
		{"a customer that does not exist is not deleted", "CodeNotFound", func(t T, h StoreHarness) {
			f := given(t, h)
			for _, customer := range nobody {
				_, err := f.Customers.Delete(t.Context(), customer, true, admin)
				requireCode(t, err, domain.CodeNotFound)
				e, err := f.Erasure.Erase(t.Context(), f.epoch, customer, 10, admin)
				require.NoError(t, err)
				require.Equal(t, ports.Erased{}, e)
			}
			f.submit()
			for _, id := range []domain.CustomerID{acme, rival} {
				_, err := f.Customers.Get(t.Context(), id)
				require.NoError(t, err)
			}
		}},
		{"the beginning of a deletion ends keys, submissions and placements",
			"Every Submit, and every Create for the customer, that commits afterwards is refused, and nothing is placed",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 20)
				o := f.furnish(w, acme)[acme]
				_, usable, err := keyBy(t, f.Keys, "p cust_acme")
				require.NoError(t, err)
				require.NotZero(t, usable)
				first := f.deletes(true)
				h.Advance(time.Minute)
				again := f.deletes(false)
				require.Equal(t, first, again, "since it began first")
				_, usable, err = keyBy(t, f.Keys, "p cust_acme")
				require.NoError(t, err)
				require.Zero(t, usable)
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{f.submission(acme), f.submission(rival)})
				require.NoError(t, err)
				require.Equal(t, domain.AdmissionNoCustomer, rs[0].Status)
				require.Equal(t, domain.Admitted, rs[1].Status)
				require.Equal(t, domain.OutcomeRefused, f.apply(assign(o.waiting, w))[0].Outcome)
				_, err = f.Keys.Create(t.Context(), domain.APIKey{ID: "key_late", CustomerID: acme, Prefix: "late"}, admin)
				requireCode(t, err, domain.CodeInvalidState)
				_, err = f.Configs.Create(t.Context(), domain.WorkloadConfig{ID: "wlcfg_late", CustomerID: acme, Type: "u"})
				requireCode(t, err, domain.CodeInvalidState)
				_, err = f.Customers.Update(t.Context(), acme, domain.CustomerPatch{Suspended: new(false)}, admin)
				requireCode(t, err, domain.CodeInvalidState)
				_, err = f.Customers.Create(t.Context(), domain.Customer{ID: acme, Name: "A", Tier: domain.TierFree}, admin)
				requireCode(t, err, domain.CodeConflict)
			}},
		{"a submission and a deletion at the same time take turns",
			"Every Submit that commits afterwards is refused", func(t T, h StoreHarness) {
				f := given(t, h)
				subs := make([]domain.Submission, 32)
				for i := range subs {
					subs[i] = f.submission(acme)
				}
				admitted := race(len(subs)+1, func(i int) bool {
					if i == len(subs) {
						_, err := h.Open().Customers.Delete(t.Context(), acme, false, admin)
						return err == nil
					}
					rs, err := f.Workloads.Submit(t.Context(), subs[i:i+1])
					return err == nil && rs[0].Status == domain.Admitted
				})
				n, deleted := count(admitted[:len(subs)], func(ok bool) bool { return ok }), admitted[len(subs)]
				require.NotEqual(t, n > 0, deleted, "%d were admitted, and deleted is %t", n, deleted)
				f.deletes(true)
				left, err := f.Erasure.Unfinished(t.Context(), acme, 100)
				require.NoError(t, err)
				require.Len(t, left, n)
				require.True(t, f.erase(100).Done)
			}},
		{"a deletion leaves nothing and touches nobody else",
			"Erase removes workloads with all that belongs to them, all else, and at last the customer", erasesAll},
		{"only the leader erases", "CodeFenced unless epoch is the current leader epoch; nothing is removed then",
			func(t T, h StoreHarness) {
				f := given(t, h)
				o := f.furnish(f.worker("w", 10), acme)[acme]
				f.deletes(true)
				f.must(cancel(o.waiting))
				before := h.Traces(t, acme, o.ids())
				for _, epoch := range []int64{0, f.epoch - 1, f.epoch + 1} {
					_, err := f.Erasure.Erase(t.Context(), epoch, acme, 10, admin)
					requireCode(t, err, domain.CodeFenced)
				}
				require.Equal(t, before, h.Traces(t, acme, o.ids()))
			}},
		{"another leader continues a deletion", "Erase removes some, in one short transaction",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 10)
				o := f.furnish(w, acme)[acme]
				f.deletes(true)
				for _, a := range []domain.Workload{o.waiting, o.delayed, o.running, o.paused} {
					f.must(cancel(a))
				}
				f.must(letGo(o.running, w))
				f.must(letGo(o.ending, w))
				for n, done := 0, false; !done; n++ {
					require.Less(t, n, 200)
					l, held, err := f.Leader.Acquire(t.Context(), fmt.Sprint("leader ", n), ttl)
					require.NoError(t, err)
					require.True(t, held)
					_, err = f.Erasure.Erase(t.Context(), f.epoch, acme, 1, admin)
					requireCode(t, err, domain.CodeFenced)
					f.epoch = l.Epoch
					e, err := f.Erasure.Erase(t.Context(), f.epoch, acme, 1, admin)
					require.NoError(t, err)
					if !e.More && !e.Done {
						f.deleted(acme) // it waits for that
					}
					require.False(t, e.More && e.Done)
					done = e.Done
					h.Advance(2 * ttl)
				}
				f.noTraces(*o)
				f.tombstoned()
			}},
		{"deletions at the same time are one", "Done reports that this call removed the customer itself",
			func(t T, h StoreHarness) {
				f := given(t, h)
				f.must(cancel(f.submit()))
				for _, err := range race(4, func(int) error {
					_, err := h.Open().Customers.Delete(t.Context(), acme, true, admin)
					return err
				}) {
					require.NoError(t, err)
				}
				done := race(4, func(int) int {
					st := h.Open()
					for n := 0; ; {
						e, err := st.Erasure.Erase(t.Context(), f.epoch, acme, 10, admin)
						if err != nil {
							return 100
						}
						if e.Done {
							n++
						}
						if !e.More {
							return n
						}
					}
				})
				require.Equal(t, 1, done[0]+done[1]+done[2]+done[3])
				acts := f.acts(ports.AdminAuditQuery{Customer: new(acme), Action: domain.ActionCustomerErased})
				require.Len(t, acts, 1)
				f.tombstoned()
			}},
		{"customers that are being deleted are listed by id", "Deleting returns up to limit customers behind the id",
			func(t T, h StoreHarness) {
				f := given(t, h)
				for _, id := range []domain.CustomerID{rival, acme} {
					_, err := f.Customers.Delete(t.Context(), id, false, admin)
					require.NoError(t, err)
				}
				for _, c := range []struct {
					after domain.CustomerID
					limit int
					want  []domain.CustomerID
				}{{"", 10, []domain.CustomerID{acme, rival}}, {"", 1, []domain.CustomerID{acme}}, {acme, 10,
					[]domain.CustomerID{rival}}} {
					got, err := f.Erasure.Deleting(t.Context(), c.after, c.limit)
					require.NoError(t, err)
					require.Equal(t, c.want, got)
				}
			}},
	}
}

// erasesAll deletes one of two customers that have the same.
func erasesAll(t T, h StoreHarness) {
	f := given(t, h)
	w := f.worker("w", 30)
	all := f.furnish(w, acme, rival)
	gone, kept := all[acme], all[rival]
	had := h.Traces(t, rival, kept.ids())
	for what, n := range h.Traces(t, acme, gone.ids()) {
		require.NotZero(t, n, "furnish puts nothing of a customer into %s, so that no test sees it removed", what)
		require.Equal(t, had[what], n, what)
	}
	before := make([]domain.Workload, 0, 8)
	for _, o := range kept.all() {
		before = append(before, append(f.archived(rival, o.ID), f.stores(o.ID)...)...)
	}
	require.Len(t, before, 8)
	counts := f.counts(rival)

	f.deletes(true)
	n, err := f.Erasure.Remaining(t.Context(), acme, 100)
	require.NoError(t, err)
	require.Equal(t, 8, n, "archived ones included")
	require.False(t, f.erase(2).Done, "a worker still runs some of it")
	n, err = f.Erasure.Remaining(t.Context(), acme, 100)
	require.NoError(t, err)
	require.Equal(t, 3, n, "what was running, what was ending, and what is archived")
	n, err = f.Erasure.Remaining(t.Context(), acme, 2)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Len(t, f.held(w), 4, "of each customer two")
	f.must(letGo(gone.running, w))
	f.must(letGo(gone.ending, w))
	f.fold(3) // the others are folded later, or never
	require.False(t, f.erase(2).Done, "its values are not deleted")
	f.deleted(acme)
	require.True(t, f.erase(2).Done)

	f.noTraces(*gone)
	f.fold(100)
	f.noTraces(*gone) // nothing comes back
	for name, found := range readsOf(f, acme, gone.finished.ID, domain.WorkloadConfig{Type: "t"}) {
		require.Zero(t, found(), name)
	}
	f.tombstoned()
	for _, a := range gone.all() {
		require.Empty(t, f.stores(a.ID))
		for _, e := range []domain.Event{domain.EventComplete, domain.EventLog, domain.EventLinger} {
			late := report(a, w, e, 1)
			late.WorkerID = w.ID
			require.Equal(t, domain.OutcomeNotFound, f.apply(late)[0].Outcome, "the worker stops as one that is fenced")
		}
		r, err := f.Checkpoints.Save(t.Context(), report(a, w, domain.EventCheckpoint, 1), domain.Checkpoint{}, []byte("x"))
		require.NoError(t, err)
		require.Equal(t, domain.OutcomeNotFound, r.Outcome)
	}
	_, err = f.Answers.Keep(t.Context(), domain.Answer{CustomerID: acme, Request: "late", Body: "1"})
	requireCode(t, err, domain.CodeNotFound)
	f.noTraces(*gone)
	acts := f.acts(ports.AdminAuditQuery{Customer: new(acme)})
	require.Equal(t, domain.ActionCustomerErased, acts[0].Action)
	require.Equal(t, domain.ActionCustomerDeleted, acts[1].Action)
	require.Empty(t, acts[0].After)

	has := h.Traces(t, rival, kept.ids())
	for _, folded := range []string{"count_deltas", "count_totals", "count_hours", "count_minutes"} {
		delete(had, folded)
		delete(has, folded)
	}
	require.Equal(t, had, has)
	require.Equal(t, counts, f.counts(rival))
	after := make([]domain.Workload, 0, 8)
	for _, o := range kept.all() {
		after = append(after, append(f.archived(rival, o.ID), f.stores(o.ID)...)...)
	}
	require.Equal(t, before, after)
	_, err = f.Tickets.Redeem(t.Context(), sha256.Sum256([]byte(acme)), lifetime)
	requireCode(t, err, domain.CodeNotFound)
	_, err = f.Tickets.Redeem(t.Context(), sha256.Sum256([]byte(rival)), lifetime)
	require.NoError(t, err)
	_, usable, err := keyBy(t, f.Keys, "p cust_rival")
	require.NoError(t, err)
	require.NotZero(t, usable)
}

// stores returns the workload if it is stored outside the archive.
func (f *fixture) stores(id domain.WorkloadID) []domain.Workload {
	f.Helper()
	ws, err := f.Workloads.GetAny(f.Context(), id)
	require.NoError(f, err)
	return ws
}
