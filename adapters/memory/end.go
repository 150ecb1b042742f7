package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
)

// certificate is the death of a process, by the digest of its secret.
type certificate struct{ process, digest string }

// died reports whether the process that registers has died.
func (s *Store) died(r domain.Registration) bool {
	_, dead := s.certificates[certificate{r.ProcessID, r.CertificateDigest}]
	return dead
}

// End implements ports.WorkerStore.
func (w workers) End(ctx context.Context, e domain.SessionEnd) ([]domain.Worker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if e.Certificate() {
		return w.s.certify(e)
	}
	wk := w.s.workers[e.WorkerID]
	if wk == nil || !wk.Live() || wk.SessionID != e.SessionID {
		return nil, nil
	}
	w.s.end(wk.SessionID, domain.LossLeft)
	delete(w.s.workers, wk.ID)
	w.s.appendWorker(wk.ID, domain.AuditWorkerRemoved, e.Actor(), string(domain.LossLeft))
	return []domain.Worker{wk.Clone()}, nil
}

// certify ends what a process held that has died; s.mu is held.
func (s *Store) certify(e domain.SessionEnd) ([]domain.Worker, error) {
	c := certificate{e.ProcessID, domain.CertificateDigest(e.Secret)}
	if _, repeated := s.certificates[c]; repeated {
		return nil, nil
	}
	var known, matching []*domain.Worker
	for _, wk := range s.workers {
		if wk.ProcessID != c.process {
			continue
		}
		known = append(known, wk)
		if wk.CertificateDigest == c.digest {
			matching = append(matching, wk)
		}
	}
	if len(known) > 0 && len(matching) == 0 {
		return nil, domain.ErrCertificate(e)
	}
	s.certificates[c] = s.now()
	slices.SortFunc(matching, func(a, b *domain.Worker) int { return cmp.Compare(a.ID, b.ID) })
	var ended []domain.Worker
	for _, wk := range matching {
		if !wk.Live() {
			continue
		}
		wk.Status = domain.WorkerDead
		s.end(wk.SessionID, domain.LossDied)
		s.appendWorker(wk.ID, domain.AuditWorkerDead, e.Actor(), string(domain.LossDied))
		ended = append(ended, wk.Clone())
	}
	return ended, nil
}
