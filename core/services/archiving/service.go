package archiving

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// pageLimit bounds how many workloads are read at once.
	pageLimit = 200
	// linesLimit and bytesLimit bound an object, the latter before compression. Where an object ends
	// depends on the workloads alone, so that a month that is written again has the same objects.
	linesLimit = 10_000
	bytesLimit = 64 << 20
	// listLimit bounds how many objects are listed at once.
	listLimit = 1000
)

// Deps are the dependencies of the service. Without Blobs it does nothing.
type Deps struct {
	Blobs      ports.BlobStore
	Retention  ports.RetentionStore
	Customers  ports.CustomerStore
	Compressor ports.Compressor
	Observer   ports.Observer
}

// Service writes the archive to a blob storage. One loop calls Step; Forget may run beside it.
type Service struct {
	deps Deps

	// epoch is that of the last step. Another epoch begins anew: another leader may have done
	// anything meanwhile.
	epoch int64
	// written is the last month that is known to be written.
	written time.Time
	export  *export // of the month in progress; nil: none
}

// New returns the service.
func New(deps Deps) *Service { return &Service{deps: deps} }

// Step writes one object if a month is over that is not written yet. more reports whether the next
// call may write another one. until is the first month that is not written; the archive must not
// drop it. It is zero if there is nothing left to write. It is valid with an error, too.
func (s *Service) Step(ctx context.Context, epoch int64) (until time.Time, more bool, err error) {
	if s.deps.Blobs == nil {
		return time.Time{}, false, nil
	}
	until, more, err = s.step(ctx, epoch)
	if err != nil {
		s.deps.Observer.Count("archive_write_failed", 1)
	}
	return until, more, err
}

func (s *Service) step(ctx context.Context, epoch int64) (until time.Time, more bool, err error) {
	if epoch != s.epoch {
		s.epoch, s.written, s.export = epoch, time.Time{}, nil
	}
	for s.export == nil {
		month, found, err := s.deps.Retention.ArchivedMonth(ctx, s.written)
		if err != nil {
			return s.written.AddDate(0, 1, 0), false, fmt.Errorf("look for archived workloads: %w", err)
		}
		if !found {
			return time.Time{}, false, nil
		}
		done, err := s.isWritten(ctx, month)
		if err != nil {
			return month, false, fmt.Errorf("look whether the archive of %s is written: %w", nameOf(month), err)
		}
		if !done {
			s.export = &export{deps: s.deps, manifest: manifest{Schema: schema, Month: nameOf(month)}, month: month,
				keys: map[string]bool{}}
			break
		}
		s.written = month
	}
	e := s.export
	done, err := e.step(ctx)
	switch {
	case err != nil:
		s.export = nil // it may have been repeated by now: begin anew
		return e.month, false, fmt.Errorf("write the archive of %s: %w", e.manifest.Month, err)
	case done:
		s.written, s.export = e.month, nil
		return e.month.AddDate(0, 1, 0), true, nil
	}
	return e.month, true, nil
}

// isWritten reports whether all of a month has been written.
func (s *Service) isWritten(ctx context.Context, month time.Time) (bool, error) {
	r, _, err := s.deps.Blobs.Get(ctx, manifestKey(month))
	if domain.IsCode(err, domain.CodeNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, r.Close()
}

// Forget removes all lines of a customer that is being deleted. It may have to be called again if a
// step was under way: that step removes what it has written itself.
func (s *Service) Forget(ctx context.Context, customer domain.CustomerID) error {
	if s.deps.Blobs == nil {
		return nil
	}
	for after := ""; ; {
		next, err := s.deps.Blobs.List(ctx, monthsPrefix, after, 1)
		if err != nil || len(next) == 0 {
			return err
		}
		month, _, _ := strings.Cut(strings.TrimPrefix(next[0].Key, monthsPrefix), "/")
		if err := removeAll(ctx, s.deps.Blobs, customerPrefix(month, customer), nil); err != nil {
			return err
		}
		after = monthsPrefix + month + "/~" // behind all of the month
	}
}

// removeAll removes the values below a prefix that are not to be kept.
func removeAll(ctx context.Context, blobs ports.BlobStore, prefix string, keep map[string]bool) error {
	for after := ""; ; {
		page, err := blobs.List(ctx, prefix, after, listLimit)
		if err != nil {
			return err
		}
		for _, b := range page {
			after = b.Key
			if keep[b.Key] {
				continue
			}
			if err := blobs.Delete(ctx, b.Key); err != nil {
				return err
			}
		}
		if len(page) < listLimit {
			return nil
		}
	}
}

// monthsPrefix begins the keys of all objects with lines.
const monthsPrefix = "workloads/month="

func nameOf(month time.Time) string { return month.Format("2006-01") }

// manifestKey is the key of what says that all of a month is written.
func manifestKey(month time.Time) string { return "months/" + nameOf(month) + ".json" }

func monthPrefix(month string) string { return monthsPrefix + month + "/" }

func customerPrefix(month string, customer domain.CustomerID) string {
	return monthPrefix(month) + "customer=" + string(customer) + "/"
}

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
	deps     Deps
	month    time.Time
	manifest manifest
	// place is the last workload that was written, part the number of its customer's last object.
	place ports.ArchivePlace
	part  int
	keys  map[string]bool // of what was written
}

// step writes the next object, or the manifest if there is no other object.
func (e *export) step(ctx context.Context) (done bool, err error) {
	page, err := e.deps.Retention.ArchivedIn(ctx, e.month, e.place, pageLimit)
	if err != nil {
		return false, err
	}
	if len(page) == 0 {
		return true, e.finish(ctx)
	}
	customer := page[0].CustomerID
	if customer != e.place.Customer {
		e.part = 0
	}
	e.part++
	key := fmt.Sprintf("%s%05d.jsonl.zst", customerPrefix(e.manifest.Month, customer), e.part)
	l := &lines{ctx: ctx, export: e, customer: customer, page: page}
	l.zip = e.deps.Compressor.Stream(&l.ready)
	owner, gone, err := e.owner(ctx, customer)
	if err != nil {
		return false, err
	}
	if gone { // what it had is not written any more; its key may be gone, too
		_, err := io.Copy(io.Discard, l)
		e.place = l.place
		return false, err
	}
	sum, err := e.deps.Blobs.Put(ctx, key, l, owner.EncryptionKeyID)
	if domain.IsNotEncrypted(err) {
		e.deps.Observer.Count("encryption_refused", 1)
		err = fmt.Errorf("the lines of %s: %w", customer, err)
	}
	if err != nil {
		return false, err
	}
	e.place, e.keys[key] = l.place, true
	if _, gone, err := e.owner(ctx, customer); err != nil || gone {
		if err == nil {
			delete(e.keys, key)
			err = e.deps.Blobs.Delete(ctx, key)
		}
		return false, err
	}
	e.manifest.Workloads += l.n
	e.manifest.Objects++
	e.manifest.Bytes += sum.Size
	e.deps.Observer.Count("archive_workloads_written", l.n)
	return false, nil
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
	if err := removeAll(ctx, e.deps.Blobs, monthPrefix(e.manifest.Month), e.keys); err != nil {
		return err
	}
	text, err := json.Marshal(e.manifest)
	if err != nil {
		return err
	}
	_, err = e.deps.Blobs.Put(ctx, manifestKey(e.month), strings.NewReader(string(text)+"\n"), "")
	return err
}
