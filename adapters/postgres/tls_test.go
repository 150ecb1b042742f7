package postgres_test

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// TestOpen_WithClientCertificates_UsesTheFilesAsTheyAre uses a server that asks for a certificate.
func TestOpen_WithClientCertificates_UsesTheFilesAsTheyAre(t *testing.T) {
	a, other := testfiles.NewAuthority(t), testfiles.NewAuthority(t)
	shown := a.Issue(t, "postgres")
	hba := filepath.Join(filepath.Dir(shown.Cert), "pg_hba.conf")
	require.NoError(t, os.WriteFile(hba, []byte(`local all all trust
hostssl all all 127.0.0.1/32 trust clientcert=verify-ca
`), 0o644)) //nolint:gosec // the server's user reads it
	s, err := servers.StartPostgres(false, "ssl=on", "ssl_cert_file="+shown.Cert, "ssl_key_file="+shown.Key,
		"ssl_ca_file="+a.CA, "hba_file="+hba)
	require.NoError(t, err)
	t.Cleanup(s.Remove)

	own := func(ca string, p testfiles.Pair) string {
		q := url.Values{"sslmode": {"verify-full"}, "sslrootcert": {ca}}
		if p.Cert != "" {
			q.Set("sslcert", p.Cert)
			q.Set("sslkey", p.Key)
		}
		return fmt.Sprintf("postgres://niyanta@127.0.0.1:%d/postgres?%s", s.Port, q.Encode())
	}
	ping := func(st *postgres.Store) error {
		_, err := postgres.Query[int](t.Context(), st, "SELECT 1")
		return err
	}
	try := func(url string) error {
		st, err := postgres.Open(t.Context(), postgres.Options{URL: url, Log: silent})
		if err != nil {
			return err
		}
		defer st.Close()
		return ping(st)
	}
	client := a.Issue(t, "client")
	require.NoError(t, try(own(a.CA, client)))
	require.ErrorContains(t, try(own(a.CA, testfiles.Pair{})), "certificate")
	require.ErrorContains(t, try(own(other.CA, client)), "unknown authority")
	require.Error(t, try(own(a.CA, other.Issue(t, "client"))), "a certificate of another authority")

	st, err := postgres.Open(t.Context(), postgres.Options{URL: own(a.CA, client), Log: silent})
	require.NoError(t, err)
	defer st.Close()
	require.NoError(t, ping(st))
	expires := st.CertificateExpiry()
	assert.WithinDuration(t, time.Now().Add(time.Hour), expires, time.Minute)
	require.NoError(t, os.WriteFile(client.Cert, []byte("half"), 0o600))
	assert.Equal(t, expires, st.CertificateExpiry(), "of the certificate that is in use")
	postgres.Reset(st)
	require.NoError(t, ping(st), "the earlier certificate stays in use")
	serial := func() string {
		n, err := postgres.Query[string](t.Context(), st,
			"SELECT client_serial::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
		require.NoError(t, err)
		return n
	}
	before := serial()
	a.Issue(t, "client", func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Hour) })
	postgres.Reset(st)
	require.NoError(t, ping(st))
	assert.NotEqual(t, before, serial(), "the new one is used")
	assert.WithinDuration(t, expires.Add(time.Hour), st.CertificateExpiry(), time.Minute)
}
