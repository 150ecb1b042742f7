package archiving

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// manifest says that all of a month is written. It is written last.
type manifest struct {
	Schema int    `json:"schema"`
	Month  string `json:"month"`
	// Workloads and Objects count what was written. Those of customers that were deleted since are
	// not there any more.
	Workloads int   `json:"workloads"`
	Objects   int   `json:"objects"`
	Bytes     int64 `json:"bytes"`
}

// export writes one month.
type export struct {
	deps  Deps
	month time.Time
	// place is the last workload that was written, part the number of its customer's last object.
	place ports.ArchivePlace
	part  int
	keys  map[string]bool // of what was written
	// written is what was written for each customer.
	written map[domain.CustomerID]manifest

	// refused are the customers whose lines could not be written because of their keys, in order, and
	// why the first one's could not.
	refused []domain.CustomerID
	reason  error
	// lacking are the customers whose lines this pass tries again, left those of them that it has not come
	// to the end of. Nil: it writes all customers.
	lacking, left []domain.CustomerID
}

func newExport(deps Deps, month time.Time) *export {
	return &export{deps: deps, month: month, keys: map[string]bool{}, written: map[domain.CustomerID]manifest{}}
}

// again begins to write what was refused before.
func (e *export) again() {
	e.lacking, e.refused, e.reason = e.refused, nil, nil
	e.left = e.lacking
	e.place, e.part = ports.ArchivePlace{Customer: e.left[0]}, 0
}

// behind is the place behind all workloads of a customer.
func behind(customer domain.CustomerID) ports.ArchivePlace {
	return ports.ArchivePlace{Customer: customer, Workload: "~"}
}

// step writes the next object. If there is no other one, the month is done: step writes the manifest,
// or returns why lines are lacking.
func (e *export) step(ctx context.Context) (done bool, err error) {
	page, err := e.next(ctx)
	switch {
	case err != nil:
		return false, err
	case len(page) > 0:
		return false, e.write(ctx, page)
	case len(e.refused) > 1:
		return true, fmt.Errorf("%w (and those of %d other customers)", e.reason, len(e.refused)-1)
	case len(e.refused) > 0:
		return true, e.reason
	}
	err = e.finish(ctx)
	return err == nil, err
}

// next reads what comes next. It is empty if nothing does.
func (e *export) next(ctx context.Context) ([]domain.Workload, error) {
	for {
		page, err := e.deps.Retention.ArchivedIn(ctx, e.month, e.place, pageLimit)
		if err != nil || len(page) == 0 || e.lacking == nil || page[0].CustomerID == e.left[0] {
			return page, err
		}
		if e.left = e.left[1:]; len(e.left) == 0 {
			return nil, nil
		}
		e.place, e.part = ports.ArchivePlace{Customer: e.left[0]}, 0
	}
}

// write writes the next object.
func (e *export) write(ctx context.Context, page []domain.Workload) error {
	customer := page[0].CustomerID
	if customer != e.place.Customer || e.part == 0 {
		e.part, e.written[customer] = 0, manifest{}
	}
	owner, gone, err := e.owner(ctx, customer)
	if err != nil {
		return err
	}
	if gone { // what it had is not written any more; its key may be gone, too
		e.place = behind(customer)
		return nil
	}
	e.part++
	key := fmt.Sprintf("%s%05d.jsonl.zst", customerPrefix(nameOf(e.month), customer), e.part)
	l := &lines{ctx: ctx, export: e, customer: customer, page: page}
	l.zip = e.deps.Compressor.Stream(&l.ready)
	sum, err := e.deps.Blobs.Put(ctx, key, l, owner.EncryptionKeyID)
	if domain.IsNotEncrypted(err) {
		e.refuse(customer, err)
		return nil
	}
	if err != nil {
		return err
	}
	e.place, e.keys[key] = l.place, true
	if _, gone, err := e.owner(ctx, customer); err != nil || gone {
		if err == nil {
			delete(e.keys, key)
			err = e.deps.Blobs.Delete(ctx, key)
		}
		return err
	}
	w := e.written[customer]
	e.written[customer] = manifest{Workloads: w.Workloads + l.n, Objects: w.Objects + 1, Bytes: w.Bytes + sum.Size}
	e.deps.Observer.Count("archive_workloads_written", l.n)
	return nil
}

// refuse goes on behind a customer whose key cannot be used.
func (e *export) refuse(customer domain.CustomerID, err error) {
	e.deps.Observer.Count("encryption_refused", 1)
	e.refused = append(e.refused, customer)
	if e.reason == nil {
		e.reason = fmt.Errorf("the lines of %s: %w", customer, err)
	}
	e.place = behind(customer)
}

// owner returns a customer, and whether it is being deleted, or was. Whoever deletes it may have looked
// for objects before the last one was written.
func (e *export) owner(ctx context.Context, customer domain.CustomerID) (c domain.Customer, gone bool, err error) {
	c, err = e.deps.Customers.Get(ctx, customer)
	if domain.IsCode(err, domain.CodeNotFound) {
		return c, true, nil
	}
	return c, c.Deleting(), err
}

// finish removes what an earlier try has written of customers that are gone, and writes the manifest.
func (e *export) finish(ctx context.Context) error {
	if err := removeAll(ctx, e.deps.Blobs, monthPrefix(nameOf(e.month)), e.keys); err != nil {
		return err
	}
	all := manifest{Schema: schema, Month: nameOf(e.month)}
	for _, w := range e.written {
		all.Workloads, all.Objects, all.Bytes = all.Workloads+w.Workloads, all.Objects+w.Objects, all.Bytes+w.Bytes
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	_, err = e.deps.Blobs.Put(ctx, manifestKey(e.month), strings.NewReader(string(text)+"\n"), "")
	return err
}
