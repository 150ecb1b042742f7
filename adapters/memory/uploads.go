package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

type uploads struct{ s *Store }

// upload is an upload, and whether a checkpoint ever referred to it.
type upload struct {
	domain.Upload
	committed bool
}

// garbage is a value that is to be deleted. One that has been deleted once belongs to nobody.
type garbage struct {
	customer domain.CustomerID
	due      time.Time
}

// Begin implements ports.UploadStore.
func (u uploads) Begin(ctx context.Context, up domain.Upload) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	t := u.s.customers[up.CustomerID]
	if t == nil || t.Deleting() {
		return domain.NotFound("customer")
	}
	if u.s.uploads[up.ID] != nil {
		return domain.NewError(domain.CodeConflict, "exists already")
	}
	up.BeganAt = u.s.now()
	u.s.uploads[up.ID] = &upload{Upload: up}
	return nil
}

// Sweep implements ports.UploadStore.
func (u uploads) Sweep(ctx context.Context, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	var due []*upload
	for _, up := range u.s.unreferencedLocked() {
		t := u.s.customers[up.CustomerID]
		if up.committed || u.s.now().Sub(up.BeganAt) >= domain.UploadAge || t == nil || t.Deleting() {
			due = append(due, up)
		}
	}
	slices.SortFunc(due, func(a, b *upload) int {
		return cmp.Or(a.BeganAt.Compare(b.BeganAt), cmp.Compare(a.ID, b.ID))
	})
	due = due[:min(limit, len(due))]
	for _, up := range due {
		u.s.discardLocked(up)
	}
	return len(due), nil
}

// unreferencedLocked returns the uploads that no checkpoint refers to.
func (s *Store) unreferencedLocked() map[domain.BlobID]*upload {
	left := maps.Clone(s.uploads)
	if len(left) == 0 {
		return nil
	}
	for _, r := range s.workloads {
		for i := range r.checkpoints {
			delete(left, r.checkpoints[i].Blob)
		}
	}
	return left
}

func (s *Store) discardLocked(up *upload) {
	delete(s.uploads, up.ID)
	s.garbage[up.ID] = garbage{up.CustomerID, s.now()}
}

// Discard implements ports.UploadStore.
func (u uploads) Discard(ctx context.Context, id domain.BlobID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	if up := u.s.unreferencedLocked()[id]; up != nil {
		u.s.discardLocked(up)
	}
	return nil
}

// Garbage implements ports.UploadStore.
func (u uploads) Garbage(ctx context.Context, after domain.BlobID, limit int) ([]domain.BlobID, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	var out []domain.BlobID
	for _, id := range slices.Sorted(maps.Keys(u.s.garbage)) {
		if id > after && !u.s.garbage[id].due.After(u.s.now()) && len(out) < limit {
			out = append(out, id)
		}
	}
	return out, nil
}

// Deleted implements ports.UploadStore.
func (u uploads) Deleted(ctx context.Context, ids ...domain.BlobID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	for _, id := range ids {
		switch g, found := u.s.garbage[id]; {
		case found && g.customer != "":
			u.s.garbage[id] = garbage{due: u.s.now().Add(domain.GarbageAgain)}
		case found && !g.due.After(u.s.now()):
			delete(u.s.garbage, id)
		}
	}
	return nil
}

// eraseUploadsLocked makes garbage of up to limit uploads of a customer that has no workload left.
// waits reports whether values of the customer are still to be deleted.
func (s *Store) eraseUploadsLocked(customer domain.CustomerID, limit int) (more, waits bool) {
	n := 0
	for _, up := range maps.Clone(s.uploads) {
		if up.CustomerID != customer {
			continue
		}
		if n++; n > limit {
			return true, true
		}
		s.discardLocked(up)
	}
	for _, g := range s.garbage {
		waits = waits || g.customer == customer
	}
	return false, waits
}
