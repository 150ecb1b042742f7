package http

import (
	"net/http"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// workerNames are the worker ids that a client certificate is for: its DNS names and its common
// name, those that are a worker's id or a pattern of ids.
type workerNames []domain.WorkerPattern

// checkCertificate checks that a call of the worker protocol comes over a connection whose client
// certificate was verified, if that is asked for. It remembers the names for checkWorker.
//
// A certificate that expires while its connection is open is answered as if the coordinator were
// away, and the connection is closed. So a worker whose files were replaced in time goes on with
// the new certificate. Another one is refused when it connects again.
func (a *api) checkCertificate(w http.ResponseWriter, r *http.Request) error {
	s := scopeOf(r.Context())
	if !a.WorkerCertificates || s.op.tag != "worker" {
		return nil
	}
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return domain.NewError(domain.CodeForbidden, "the worker protocol needs a client certificate here, beside the key: "+
			"set NIYANTA_COORDINATOR_CERT_FILE and NIYANTA_COORDINATOR_KEY_FILE")
	}
	leaf := r.TLS.VerifiedChains[0][0]
	if !time.Now().Before(leaf.NotAfter) {
		w.Header().Set("Connection", "close")
		return domain.Unavailable(0, "the client certificate has expired: connect again with a new one")
	}
	s.workerNames = workerNames{}
	for _, name := range append(slices.Clone(leaf.DNSNames), leaf.Subject.CommonName) {
		if p := domain.WorkerPattern(name); p.Validate() == nil {
			s.workerNames = append(s.workerNames, p)
		}
	}
	return nil
}

// check returns CodeForbidden if the certificate is not for the worker. Nil names mean that none is
// asked for.
func (n workerNames) check(id domain.WorkerID) error {
	if n == nil || slices.ContainsFunc(n, func(p domain.WorkerPattern) bool { return p.Matches(id) }) {
		return nil
	}
	return domain.NewError(domain.CodeForbidden, "the client certificate is not for worker %q; it is for %q", id, n)
}
