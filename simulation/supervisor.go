package simulation

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// certificate is a death that a supervisor tells the coordinators of until one has heard it.
type certificate struct {
	domain.SessionEnd
	due time.Time
}

// certifyInterval is the time between two tries of a supervisor that was not answered.
const certifyInterval = 500 * time.Millisecond

// secretOf is the secret of a process, drawn from nothing: no process of a run knows another one's.
func secretOf(process string) string { return process + strings.Repeat("-", 32) }

// died has the supervisor of a worker, if it has one and that survives, certify its death.
func (w *World) died(k *worker) {
	if k.supervised && !w.faulty(w.P.Unsupervised) {
		w.certificates = append(w.certificates, &certificate{
			domain.SessionEnd{ProcessID: k.process, Secret: secretOf(k.process)}, w.Now(),
		})
	}
}

// certify lets the supervisors try whose next try is due.
func (w *World) certify(ctx context.Context) {
	for _, c := range slices.Clone(w.certificates) {
		if w.Now().Before(c.due) {
			continue
		}
		c.due = w.Now().Add(certifyInterval)
		to := w.reachable()
		harm := None
		if to != nil {
			harm = w.Boundary("call end by a supervisor")
		}
		if to == nil || harm == LoseRequest || harm == CrashBefore || w.faulty(w.P.Drop) {
			if harm == CrashBefore {
				w.certified(c) // the supervisor has died as well: the lease is what is left
			}
			continue
		}
		var err error
		if !w.as(to, nil, func() { err = to.Plane.End(ctx, c.SessionEnd) }) || err != nil {
			continue
		}
		if harm == LoseAnswer || w.faulty(w.P.Drop) {
			continue // it was heard, and is said again
		}
		w.certified(c)
	}
}

// certified forgets a certificate.
func (w *World) certified(c *certificate) {
	w.certificates = slices.DeleteFunc(w.certificates, func(o *certificate) bool { return o == c })
}
