package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
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
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "443")
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // nothing is sent: the certificate is only looked at
	}}
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return // the check of the connection says why
	}
	defer func() { _ = conn.Close() }() // nothing was sent
	secured, ok := conn.(*tls.Conn)
	if !ok || len(secured.ConnectionState().PeerCertificates) == 0 {
		return
	}
	d.expiry("certificate", "that of "+address, secured.ConnectionState().PeerCertificates[0].NotAfter,
		"replace its files on the coordinators: they are read without a restart; see docs/operations/tls.md")
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

// serverSettings checks what the settings of servers in this environment name, if there are any.
func (d *doctor) serverSettings(ctx context.Context, environment []string) {
	cfg, err := bootstrap.Load(environment)
	if err != nil {
		return // a start with them reports everything
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
