package simulation

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// certificate is a supervisor's notice that a worker process has died. The supervisor repeats it
// until a coordinator has answered.
type certificate struct {
	domain.SessionEnd
	due time.Time // of the next try
}

// certifyInterval is the time between two tries of a supervisor.
const certifyInterval = 500 * time.Millisecond

// secretOf returns the secret of a process. It need not be random: the processes of a run do not
// guess secrets.
func secretOf(process string) string { return process + strings.Repeat("-", 32) }

// addCertificate has the supervisor of a dead worker certify the death. It does nothing for a
// worker without a supervisor, nor when the supervisor has died as well.
func (w *World) addCertificate(k *worker) {
	if k.supervised && !w.faulty(w.P.Unsupervised) {
		w.certificates = append(w.certificates, &certificate{
			domain.SessionEnd{ProcessID: k.process, Secret: secretOf(k.process)}, w.Now(),
		})
	}
}

// certify sends every certificate whose next try is due.
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
				w.certified(c) // the supervisor has died as well, so that only the lease ends the session
			}
			continue
		}
		var err error
		if !w.actAs(to, nil, func() { err = to.Plane.End(ctx, c.SessionEnd) }) || err != nil {
			continue
		}
		if harm == LoseAnswer || w.faulty(w.P.Drop) {
			continue // the answer was lost: the supervisor tries again
		}
		w.certified(c)
	}
}

// certified removes a certificate.
func (w *World) certified(c *certificate) {
	w.certificates = slices.DeleteFunc(w.certificates, func(o *certificate) bool { return o == c })
}
