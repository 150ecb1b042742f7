package main

import (
	"context"
	"crypto/x509"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/bootstrap"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// securedDev is a development server with a certificate that expires then.
func securedDev(t *testing.T, a *testfiles.Authority, expires time.Time) *bootstrap.Dev {
	t.Helper()
	shown := a.Issue(t, "coordinator", func(c *x509.Certificate) { c.NotAfter = expires })
	cfg, err := bootstrap.Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_TLS_CERT_FILE=" + shown.Cert,
		"NIYANTA_TLS_KEY_FILE=" + shown.Key})
	require.NoError(t, err)
	d, err := bootstrap.NewDev(context.Background(), cfg, 1, version, slog.New(slog.NewTextHandler(io.Discard, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	return d
}

func TestCommandLine_OverTLS_UsesFilesOfFlagsVariablesAndContexts(t *testing.T) {
	a := testfiles.NewAuthority(t)
	server := securedDev(t, a, time.Now().Add(time.Hour))
	d := newDesk(t)
	at := []string{"workload", "list", "--url", server.App.URL(), "--api-key", server.CustomerKey, "--retry-for", "0"}
	_, stderr, code := d.run("", at...)
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "unknown authority")
	d.must("", append(at, "--ca-file", a.CA)...)
	_, stderr, code = d.run("", append(at, "--ca-file", "/nowhere")...)
	assert.Equal(t, 2, code, "a mistake in the arguments")
	assert.Contains(t, stderr, "/nowhere: no such file")

	t.Chdir(filepath.Dir(a.CA))
	d.must(server.CustomerKey, "context", "add", "own", "--url", server.App.URL(), "--api-key", "-", "--ca-file", "ca.pem")
	t.Chdir(t.TempDir())
	d.must("", "workload", "list", "--context", "own")
	_, _, code = d.run("", "workload", "list", "--context", "own", "--url", "https://127.0.0.1:1", "--api-key", "k",
		"--retry-for", "0")
	assert.Equal(t, 1, code)
	t.Setenv("NIYANTA_CA_FILE", a.CA)
	t.Setenv("NIYANTA_URL", server.App.URL())
	t.Setenv("NIYANTA_API_KEY", server.CustomerKey)
	d.must("", "workload", "list")
}

func TestDoctor_OfCertificates_FindsThoseThatEndAndThoseThatDoNotMatch(t *testing.T) {
	a := testfiles.NewAuthority(t)
	other := a.Issue(t, "other")
	old := a.Issue(t, "old", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	d := newDesk(t)
	doctor := func(server *bootstrap.Dev) (string, int) {
		out, _, code := d.run("", "doctor", "--url", server.App.URL(), "--api-key", server.CustomerKey, "--ca-file", a.CA)
		return out, code
	}
	long := securedDev(t, a, time.Now().Add(400*24*time.Hour))
	out, code := doctor(long)
	assert.Equal(t, 0, code, out)
	assert.Contains(t, out, "is good until")
	out, code = doctor(securedDev(t, a, time.Now().Add(80*time.Hour)))
	assert.Equal(t, 0, code, out)
	assert.Contains(t, out, "expires in 3 days")
	out, code = doctor(securedDev(t, a, time.Now().Add(-time.Minute)))
	assert.Equal(t, 1, code, out)
	assert.Contains(t, out, "has expired on")

	t.Setenv("NIYANTA_TLS_CERT_FILE", other.Cert)
	t.Setenv("NIYANTA_TLS_KEY_FILE", old.Key)
	out, code = doctor(long)
	assert.Equal(t, 1, code, out)
	assert.Contains(t, out, "private key does not match")
	t.Setenv("NIYANTA_TLS_CERT_FILE", old.Cert)
	out, code = doctor(long)
	assert.Equal(t, 1, code, out)
	assert.Contains(t, out, old.Cert+" has expired on")
}

func TestDoctor_OfAnIdentityProvider_FindsWhatIsWrong(t *testing.T) {
	i := servers.StartIssuer(t)
	d := newDesk(t)
	doctor := func() string {
		out, _, _ := d.run("", "doctor", "--url", "http://127.0.0.1:1", "--api-key", "k")
		return out
	}
	t.Setenv("NIYANTA_OIDC_ISSUER", i.URL)
	assert.Contains(t, doctor(), "NIYANTA_OIDC_AUDIENCE: is required")
	t.Setenv("NIYANTA_OIDC_AUDIENCE", "niyanta")
	assert.Contains(t, doctor(), i.URL+" has told its keys")
	i.SetAway(true)
	assert.Contains(t, doctor(), "cannot be asked for its keys")
}
