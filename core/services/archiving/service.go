package archiving

import (
	"context"
	"fmt"
	"slices"
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
	// seen is the last month that was looked at: it is written, or in partial.
	seen   time.Time
	export *export // of the month in progress; nil: none
	// partial are the months that lack the lines of customers whose keys cannot be used, in order, and
	// turn is the one to try next.
	partial []*export
	turn    int
}

// New returns the service.
func New(deps Deps) *Service { return &Service{deps: deps} }

// Step writes one object if a month is over that is not written yet. more reports whether the next
// call may write another one. until is the first month that is not written; the archive must not
// drop it. It is zero if there is nothing left to write. It is valid with an error, too.
//
// A customer whose key cannot be used delays its own lines, and nobody else's: the rest of the month
// and the months after it are written meanwhile, and its lines are tried again once nothing else is
// left to write.
func (s *Service) Step(ctx context.Context, epoch int64) (until time.Time, more bool, err error) {
	if s.deps.Blobs == nil {
		return time.Time{}, false, nil
	}
	if epoch != s.epoch {
		*s = Service{deps: s.deps, epoch: epoch}
	}
	until, more, err = s.step(ctx)
	if len(s.partial) > 0 && (until.IsZero() || s.partial[0].month.Before(until)) {
		until = s.partial[0].month
	}
	if err != nil {
		s.deps.Observer.Count("archive_write_failed", 1)
	}
	return until, more, err
}

func (s *Service) step(ctx context.Context) (until time.Time, more bool, err error) {
	for s.export == nil {
		month, found, err := s.deps.Retention.ArchivedMonth(ctx, s.seen)
		if err != nil {
			return s.seen.AddDate(0, 1, 0), false, fmt.Errorf("look for archived workloads: %w", err)
		}
		if !found {
			if len(s.partial) == 0 {
				return time.Time{}, false, nil
			}
			s.takeAgain()
			break
		}
		done, err := s.isWritten(ctx, month)
		if err != nil {
			return month, false, fmt.Errorf("look whether the archive of %s is written: %w", nameOf(month), err)
		}
		if !done {
			s.export = newExport(s.deps, month)
			break
		}
		s.seen = month
	}
	e := s.export
	done, err := e.step(ctx)
	switch {
	case done && err != nil: // it lacks the lines of some customers
		s.putBack(e)
	case done:
		s.see(e.month)
		s.export = nil
		return e.month.AddDate(0, 1, 0), true, nil
	case err != nil && e.month.After(s.seen):
		s.export = nil // it may have been repeated by now: begin anew
	case err != nil:
		e.refused = e.lacking
		s.putBack(e)
	default:
		return e.month, true, nil
	}
	return e.month, false, fmt.Errorf("write the archive of %s: %w", nameOf(e.month), err)
}

// see notes that a month has been looked at.
func (s *Service) see(month time.Time) {
	if month.After(s.seen) {
		s.seen = month
	}
}

// putBack ends the export in progress, which is tried again later.
func (s *Service) putBack(e *export) {
	s.see(e.month)
	s.export = nil
	i, _ := slices.BinarySearchFunc(s.partial, e.month, func(p *export, m time.Time) int { return p.month.Compare(m) })
	s.partial = slices.Insert(s.partial, i, e)
}

// takeAgain goes on with one of the months that lack lines. They take turns.
func (s *Service) takeAgain() {
	s.turn %= len(s.partial)
	s.export = s.partial[s.turn]
	s.partial = slices.Delete(s.partial, s.turn, s.turn+1)
	s.turn++
	s.export.again()
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
