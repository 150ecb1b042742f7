package bootstrap

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/niyanta/niyanta/adapters/certificates"
	httpapi "github.com/niyanta/niyanta/adapters/http"
	"github.com/niyanta/niyanta/adapters/telemetry"
)

// The prefixes of the settings that name certificates.
const (
	tlsServing     = "TLS"
	tlsCoordinator = "COORDINATOR"
	tlsNATS        = "NATS"
	tlsRedis       = "REDIS"
)

// certificateFiles returns the files that the settings with a prefix name.
func (c Config) certificateFiles(prefix string) certificates.Files {
	switch prefix {
	case tlsServing:
		return certificates.Files{Cert: c.TLSCert, Key: c.TLSKey}
	case tlsCoordinator:
		return certificates.Files{CA: c.CoordinatorCA, Cert: c.CoordinatorCert, Key: c.CoordinatorKey}
	case tlsNATS:
		return certificates.Files{CA: c.NATSCA, Cert: c.NATSCert, Key: c.NATSKey}
	}
	return certificates.Files{CA: c.RedisCA, Cert: c.RedisCert, Key: c.RedisKey}
}

// openCertificates reads the files that the settings with a prefix name. The result is nil if they
// name none.
func (c Config) openCertificates(prefix string, log *slog.Logger) (*certificates.Source, error) {
	s, err := certificates.Open(c.certificateFiles(prefix), log.With("settings", Prefix+prefix+"_…_FILE"))
	if err != nil {
		return nil, fmt.Errorf("%s%s_…_FILE: %w", Prefix, prefix, err)
	}
	return s, nil
}

// openAPICertificates reads the files of the API's listeners: their own certificate, and the
// authorities of the workers' ones.
func (c Config) openAPICertificates(log *slog.Logger) (*certificates.Source, error) {
	f := c.certificateFiles(tlsServing)
	f.CA = c.WorkerClientCA
	s, err := certificates.Open(f, log.With("settings", Prefix+"TLS_…_FILE"))
	if err != nil {
		return nil, fmt.Errorf("%sTLS_CERT_FILE, TLS_KEY_FILE, WORKER_CLIENT_CA_FILE: %w", Prefix, err)
	}
	return s, nil
}

// clientTLS returns what makes the configuration of each connection. It is nil without
// certificates.
func clientTLS(s *certificates.Source) func() *tls.Config {
	if s == nil {
		return nil
	}
	return s.Client
}

// measureCertificate has the metrics say when the certificate of a connection expires. The time is
// zero if there is none.
func measureCertificate(m *telemetry.Metrics, connection string, expires func() time.Time) {
	m.Gauge(telemetry.CertificateExpiry, func() (float64, bool) {
		at := expires()
		return float64(at.Unix()), !at.IsZero()
	}, connection)
}

// certificateState returns how the certificate of the API stands. It is empty without one.
func certificateState(s *certificates.Source) httpapi.CertificateState {
	if s == nil {
		return ""
	}
	switch state := s.State(); {
	case !time.Now().Before(state.Expires):
		return httpapi.CertificateExpired
	case state.Broken != nil:
		return httpapi.CertificateNotReplaced
	}
	return httpapi.CertificateValid
}

// validateCertificates checks the settings that name certificates against each other. The files are
// read when they are used.
func (c Config) validateCertificates(wrong func(string, string, ...any)) {
	for _, prefix := range []string{tlsServing, tlsCoordinator, tlsNATS, tlsRedis} {
		if f := c.certificateFiles(prefix); (f.Cert == "") != (f.Key == "") {
			wrong(prefix+"_CERT_FILE", "and %s%s_KEY_FILE go together", Prefix, prefix)
		}
	}
	if c.WorkerClientCA != "" && c.TLSCert == "" {
		wrong("WORKER_CLIENT_CA_FILE", "needs %sTLS_CERT_FILE: only a coordinator that speaks TLS itself sees certificates",
			Prefix)
	}
	for _, client := range []struct{ prefix, url, scheme string }{
		{tlsCoordinator, c.CoordinatorURL, "https://"}, {tlsRedis, c.RedisURL, "rediss://"},
	} {
		if c.certificateFiles(client.prefix) != (certificates.Files{}) && !strings.HasPrefix(client.url, client.scheme) {
			wrong(client.prefix+"_CA_FILE", "and %[1]s%[2]s_CERT_FILE need an %[1]s%[2]s_URL that begins with %[3]s", Prefix,
				client.prefix, client.scheme)
		}
	}
}

// CheckedCertificate is what is found in the files that settings name.
type CheckedCertificate struct {
	File    string
	Expires time.Time
	Err     error // nil: the files can be used
}

// CheckCertificates reads the files of certificates that the settings name.
func (c Config) CheckCertificates() []CheckedCertificate {
	var checked []CheckedCertificate
	for _, prefix := range []string{tlsServing, tlsCoordinator, tlsNATS, tlsRedis} {
		s, err := c.openCertificates(prefix, slog.New(slog.DiscardHandler))
		expires := s.State().Expires
		if err != nil || !expires.IsZero() {
			checked = append(checked, CheckedCertificate{c.certificateFiles(prefix).Cert, expires, err})
		}
	}
	return checked
}
