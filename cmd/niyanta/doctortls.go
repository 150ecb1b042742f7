package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/niyanta/niyanta/bootstrap"
)

// expiryWarning is how long before a certificate expires it is worth a warning.
const expiryWarning = 14 * 24 * time.Hour

// certificate checks the certificate that a coordinator, or a proxy in front of it, shows. Whether
// it is trusted shows when the coordinator is asked.
func (d *doctor) certificate(ctx context.Context, address string) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" {
		return
	}
	// If there is none, the check of the connection says why.
	if shown := certificateOf(ctx, u, "443"); shown != nil {
		d.expiry("certificate", "that of "+address, shown.NotAfter,
			"replace its files on the coordinators: they are read without a restart; see docs/operations/tls.md")
	}
}

// certificateOf returns the certificate that the server at a URL shows. It is nil if the server does
// not speak TLS.
func certificateOf(ctx context.Context, u *url.URL, usualPort string) *x509.Certificate {
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // nothing is sent: the certificate is only looked at
	}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), usualPort)))
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }() // nothing was sent
	secured, ok := conn.(*tls.Conn)
	if !ok || len(secured.ConnectionState().PeerCertificates) == 0 {
		return nil
	}
	return secured.ConnectionState().PeerCertificates[0]
}

// speaksTLS reports whether the server at a plain address speaks TLS.
func speaksTLS(ctx context.Context, address string) bool {
	u, err := url.Parse(address)
	return err == nil && certificateOf(ctx, u, "80") != nil
}

// expiry checks when a certificate expires.
func (d *doctor) expiry(check, what string, expires time.Time, advice string) {
	switch left := time.Until(expires); {
	case left <= 0:
		d.add(check, findingProblem, what+" has expired on "+expires.UTC().Format(time.RFC3339), advice)
	case left < expiryWarning:
		d.add(check, findingWarning, fmt.Sprintf("%s expires in %s", what, counted(int(left.Hours()/24), "day")), advice)
	default:
		d.add(check, findingOK, what+" is good until "+expires.UTC().Format(time.DateOnly), "")
	}
}

// results are the results of a check by the severity of a finding.
var results = map[bootstrap.Severity]string{
	bootstrap.SeverityNone: findingOK, bootstrap.SeverityWarning: findingWarning,
	bootstrap.SeverityProblem: findingProblem,
}

// serverSettings checks what the settings of servers in this environment name, if there are any.
func (d *doctor) serverSettings(ctx context.Context, environment []string) {
	if d.as != "" {
		for _, f := range bootstrap.Examine(ctx, environment, d.as) {
			d.add("settings", results[f.Severity], f.Found, f.Advice)
		}
	}
	cfg, err := bootstrap.Load(environment)
	if err != nil {
		if d.as == "" { // otherwise it was reported
			for line := range strings.SplitSeq(err.Error(), "\n") {
				d.add("settings", findingProblem, line, "a server with these settings does not start; correct or unset it")
			}
		}
		return
	}
	for _, c := range cfg.CheckCertificates() {
		if c.Err != nil {
			d.add("settings", findingProblem, c.Err.Error(), "a server with these settings does not start")
			continue
		}
		d.expiry("settings", c.File, c.Expires, "replace the file: running processes read it without a restart")
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	switch checked, err := cfg.CheckIdentity(ctx); {
	case err != nil:
		d.add("settings", findingProblem, err.Error(), "no new token is accepted; see docs/operations/identity.md")
	case checked:
		d.add("settings", findingOK, cfg.OIDCIssuer+" has told its keys", "")
	}
}
