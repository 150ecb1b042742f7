package niyanta

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/niyanta/niyanta/adapters/certificates"
)

// TLSFiles are the paths of PEM files. Each may be empty. They are read again when they change: new
// ones apply to the connections that follow, and files that cannot be used leave the earlier ones
// in use.
type TLSFiles struct {
	// CA holds the certificates of the authorities that a coordinator's certificate is checked
	// against. Empty: those of the system.
	CA string
	// Cert holds the certificate that this side shows, with its intermediates. Key holds its
	// private key. They go together.
	Cert, Key string
}

// open reads the files. what names them in errors.
func (f TLSFiles) open(what string, log *slog.Logger) (*certificates.Source, error) {
	s, err := certificates.Open(certificates.Files(f), log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return s, nil
}

// WithTLSFiles has the connections to coordinators use the files. It is for NewClient, without
// WithHTTPClient.
func WithTLSFiles(f TLSFiles) ClientOption { return func(o *clientOptions) { o.tls = f } }

// coordinatorTLS returns what a worker's connections to coordinators use.
func (o *WorkerOptions) coordinatorTLS(log *slog.Logger) (*certificates.Source, error) {
	f := o.TLS
	if f == nil {
		f = &TLSFiles{
			CA: os.Getenv("NIYANTA_COORDINATOR_CA_FILE"), Cert: os.Getenv("NIYANTA_COORDINATOR_CERT_FILE"),
			Key: os.Getenv("NIYANTA_COORDINATOR_KEY_FILE"),
		}
	}
	return f.open("WorkerOptions.TLS, NIYANTA_COORDINATOR_…_FILE", log)
}

// httpTLS returns what the worker's own server shows. It is nil if that speaks plain HTTP.
func (o *WorkerOptions) httpTLS(log *slog.Logger) (*certificates.Source, error) {
	f := o.HTTPTLS
	if f == nil {
		f = &TLSFiles{Cert: os.Getenv("NIYANTA_TLS_CERT_FILE"), Key: os.Getenv("NIYANTA_TLS_KEY_FILE")}
	}
	return TLSFiles{Cert: f.Cert, Key: f.Key}.open("WorkerOptions.HTTPTLS, NIYANTA_TLS_…_FILE", log)
}
