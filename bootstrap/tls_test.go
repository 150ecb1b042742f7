package bootstrap

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/certificates"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/domain"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// secured is a development server that speaks TLS.
type secured struct {
	*Dev
	authority *testfiles.Authority
	shown     testfiles.Pair
	client    *http.Client // trusts the authority
}

func securedDev(t *testing.T, environment ...string) *secured {
	t.Helper()
	return securedWith(t, 0, environment...)
}

// securedWith returns a development server with workers that speaks TLS.
func securedWith(t *testing.T, workers int, environment ...string) *secured {
	t.Helper()
	a := testfiles.NewAuthority(t)
	shown := a.Issue(t, "coordinator")
	s := &secured{authority: a, shown: shown, Dev: devWith(t, workers, append(environment,
		"NIYANTA_TLS_CERT_FILE="+shown.Cert, "NIYANTA_TLS_KEY_FILE="+shown.Key)...)}
	source, err := certificates.Open(certificates.Files{CA: a.CA}, silent)
	require.NoError(t, err)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	source.Equip(transport)
	s.client = &http.Client{Transport: transport}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

func (s *secured) get(t *testing.T, url, key string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := s.client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// hostPort returns where an https URL leads.
func hostPort(url string) string { return strings.TrimPrefix(url, "https://") }

func TestTLS_OfACoordinator_IsAllThatItsListenersSpeak(t *testing.T) {
	s := securedDev(t, "NIYANTA_ADMIN_ADDR=127.0.0.1:0")
	for _, url := range []string{s.App.URL(), s.App.AdminURL()} {
		require.True(t, strings.HasPrefix(url, "https://"), url)
		resp, body := s.get(t, url+"/ready", "")
		assert.Equal(t, 200, resp.StatusCode)
		assert.Contains(t, body, `"certificate":"valid"`)
		assert.Equal(t, "max-age=31536000", resp.Header.Get("Strict-Transport-Security"))

		plain, err := http.Get("http://" + hostPort(url) + "/health") //nolint:noctx // of a test
		require.NoError(t, err)
		assert.Equal(t, 400, plain.StatusCode, "plain HTTP")
		require.NoError(t, plain.Body.Close())
		_, err = http.Get(url + "/health") //nolint:noctx // it fails
		require.ErrorContains(t, err, "unknown authority", "a client that does not know the authority")
		_, err = tls.Dial("tcp", hostPort(url), &tls.Config{ //nolint:noctx // of a test
			InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, //nolint:gosec // it is refused before
		})
		require.ErrorContains(t, err, "protocol version")
	}
	_, body := s.get(t, s.App.AdminURL()+"/metrics", "")
	assert.Contains(t, body, `niyanta_certificate_expiry_timestamp_seconds{connection="api"} `)

	in, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.App.URL()+"/v1/session", nil)
	require.NoError(t, err)
	in.Header.Set("Authorization", "Bearer "+s.CustomerKey)
	resp, err := s.client.Do(in)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Len(t, resp.Cookies(), 1)
	assert.True(t, resp.Cookies()[0].Secure)
}

func TestTLS_WhenAHandshakeIsSlow_IsCut(t *testing.T) {
	s := securedDev(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", hostPort(s.App.URL()))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	begin := testfiles.StartStopwatch(t)
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	assert.Less(t, begin.Took(), 15*time.Second)
}

// TestTLS_WhenTheCertificateChanges_GoesOn changes the files while a stream is open.
func TestTLS_WhenTheCertificateChanges_GoesOn(t *testing.T) {
	s := securedDev(t)
	c, err := niyanta.NewClient(s.App.URL(), s.CustomerKey, niyanta.WithTLSFiles(niyanta.TLSFiles{CA: s.authority.CA}))
	require.NoError(t, err)
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.App.URL()+"/v1/events", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+s.CustomerKey)
	stream, err := s.client.Do(req)
	require.NoError(t, err)
	defer func() { _ = stream.Body.Close() }()
	assert.Equal(t, "HTTP/2.0", stream.Proto)
	lines := bufio.NewScanner(stream.Body)
	require.True(t, lines.Scan())
	before := stream.TLS.PeerCertificates[0].SerialNumber

	ready := func(want string) func() bool {
		return func() bool {
			_, body := s.get(t, s.App.URL()+"/ready", "")
			return strings.Contains(body, `"certificate":"`+want+`"`) &&
				(want == "valid") != strings.Contains(body, `"status":"degraded"`)
		}
	}
	require.NoError(t, os.WriteFile(s.shown.Cert, []byte("half"), 0o600))
	require.Eventually(t, ready("not_replaced"), 30*time.Second, 50*time.Millisecond)
	_, err = c.Health(t.Context())
	require.NoError(t, err, "the earlier certificate is shown")
	s.authority.Issue(t, "coordinator")
	require.Eventually(t, ready("valid"), 30*time.Second, 50*time.Millisecond)
	s.client.CloseIdleConnections()
	conn, err := tls.Dial("tcp", hostPort(s.App.URL()), &tls.Config{ //nolint:noctx // of a test
		InsecureSkipVerify: true, //nolint:gosec // only its certificate is looked at
	})
	require.NoError(t, err)
	assert.NotEqual(t, before, conn.ConnectionState().PeerCertificates[0].SerialNumber)
	require.NoError(t, conn.Close())

	_, err = c.Submit(t.Context(), sleeping(1), "")
	require.NoError(t, err)
	found := false
	for !found && lines.Scan() {
		found = strings.Contains(lines.Text(), "workload_id")
	}
	assert.True(t, found, "the stream that was open goes on: %v", lines.Err())
}

// worker starts a worker over HTTP with these files, and returns what ends it and its error.
func (s *secured) worker(t *testing.T, id string, f certificates.Files) (end func(), ended <-chan error) {
	t.Helper()
	cfg, err := Load([]string{
		"NIYANTA_WORKER_ID=" + id, "NIYANTA_COORDINATOR_URL=" + s.App.URL(), "NIYANTA_WORKER_KEY=" + s.WorkerKey,
		"NIYANTA_COORDINATOR_CA_FILE=" + f.CA, "NIYANTA_COORDINATOR_CERT_FILE=" + f.Cert,
		"NIYANTA_COORDINATOR_KEY_FILE=" + f.Key, "NIYANTA_WORKER_HTTP_ADDR=127.0.0.1:0",
		"NIYANTA_TLS_CERT_FILE=" + s.shown.Cert, "NIYANTA_TLS_KEY_FILE=" + s.shown.Key,
	})
	require.NoError(t, err)
	require.NoError(t, cfg.Validate(RoleWorker))
	w, err := NewWorker(context.Background(), cfg, "test", silent)
	require.NoError(t, err)
	resp, _ := s.get(t, "https://"+w.server.Addr()+"/health", "")
	assert.Equal(t, 200, resp.StatusCode, "a worker's probes are served over TLS, too")
	_, body := s.get(t, "https://"+w.server.Addr()+"/metrics", "")
	for connection, shown := range map[string]bool{"probes": true, "coordinator": f.Cert != ""} {
		has := strings.Contains(body, `niyanta_certificate_expiry_timestamp_seconds{connection="`+connection+`"} `)
		assert.Equal(t, shown, has, connection)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(cancel)
	return cancel, done
}

func TestTLS_OfWorkers_NeedsACertificateForTheirID(t *testing.T) {
	workers := testfiles.NewAuthority(t)
	s := securedDev(t, "NIYANTA_WORKER_CLIENT_CA_FILE="+workers.CA)
	files := func(p testfiles.Pair) certificates.Files {
		return certificates.Files{CA: s.authority.CA, Cert: p.Cert, Key: p.Key}
	}
	refused := func(id string, f certificates.Files, why string) {
		t.Helper()
		_, ended := s.worker(t, id, f)
		select {
		case err := <-ended:
			require.ErrorContains(t, err, why)
		case <-time.After(20 * time.Second):
			t.Fatalf("worker %s goes on; want: %s", id, why)
		}
	}
	refused("w1", certificates.Files{CA: s.authority.CA}, "needs a client certificate")
	refused("w1", files(s.authority.Issue(t, "w1")), "needs a client certificate") // of another authority: not shown
	refused("w2", files(workers.Issue(t, "w1")), `not for worker "w2"`)
	refused("w", files(workers.Issue(t, "host.example")), `not for worker "w"`)

	trusting := niyanta.WithTLSFiles(niyanta.TLSFiles{CA: s.authority.CA})
	client, err := niyanta.NewClient(s.App.URL(), s.CustomerKey, trusting)
	require.NoError(t, err)
	defer client.Close()
	for id, pair := range map[string]testfiles.Pair{
		"rack7-1": workers.Issue(t, "rack7-*"),
		"gpu-2": workers.Issue(t, "host2.example", func(c *x509.Certificate) {
			c.DNSNames = []string{"host2.example", "gpu-2"}
		}),
	} {
		end, ended := s.worker(t, id, files(pair))
		w, err := client.Submit(t.Context(), sleeping(1), "")
		require.NoError(t, err, "clients need no certificate")
		got, err := client.Wait(t.Context(), w.WorkloadID, 20*time.Second)
		require.NoError(t, err)
		assert.Equal(t, "COMPLETED", string(got.Status))
		end()
		require.NoError(t, <-ended)
	}
}

// TestTLS_WhenAWorkersCertificateExpires_EndsItsConnection keeps a connection for longer than its
// certificate is valid.
func TestTLS_WhenAWorkersCertificateExpires_EndsItsConnection(t *testing.T) {
	t.Parallel() // it mostly waits
	workers := testfiles.NewAuthority(t)
	s := securedDev(t, "NIYANTA_WORKER_CLIENT_CA_FILE="+workers.CA)
	until := time.Now().Add(8 * time.Second) // as long as the first registration may take at most
	pair := workers.Issue(t, "w1", func(c *x509.Certificate) { c.NotAfter = until })
	cfg, err := Load([]string{
		"NIYANTA_COORDINATOR_URL=" + s.App.URL(), "NIYANTA_WORKER_KEY=" + s.WorkerKey,
		"NIYANTA_COORDINATOR_CA_FILE=" + s.authority.CA, "NIYANTA_COORDINATOR_CERT_FILE=" + pair.Cert,
		"NIYANTA_COORDINATOR_KEY_FILE=" + pair.Key,
	})
	require.NoError(t, err)
	clients, _, err := newWorkerClients(cfg, silent)
	require.NoError(t, err)
	defer clients[0].Close()
	register := func() error {
		_, err := clients[0].Register(t.Context(), domain.Registration{
			WorkerID: "w1", SessionID: "ses_1", ProcessID: "proc_1", Slots: 1, Capabilities: []string{"sleep"},
		})
		return err
	}
	require.NoError(t, register())
	time.Sleep(time.Until(until) + 100*time.Millisecond) // certificates expire by the clock
	err = register()
	require.Error(t, err)
	assert.True(t, domain.IsCode(err, domain.CodeUnavailable), "%v", err)
	workers.Issue(t, "w1")
	require.Eventually(t, func() bool { return register() == nil }, 30*time.Second, 50*time.Millisecond,
		"a new certificate is used without a restart")
}

func TestConfig_OfCertificates_RefusesWhatDoesNotGoTogether(t *testing.T) {
	for _, c := range []struct {
		role        Role
		environment []string
		want        string
	}{
		{RoleDev, []string{"NIYANTA_TLS_CERT_FILE=c"}, "NIYANTA_TLS_CERT_FILE: and NIYANTA_TLS_KEY_FILE go together"},
		{RoleDev, []string{"NIYANTA_TLS_KEY_FILE=k"}, "NIYANTA_TLS_CERT_FILE: and NIYANTA_TLS_KEY_FILE go together"},
		{RoleDev, []string{"NIYANTA_WORKER_CLIENT_CA_FILE=ca"}, "NIYANTA_WORKER_CLIENT_CA_FILE: needs NIYANTA_TLS_CERT_FILE"},
		{RoleWorker, []string{"NIYANTA_COORDINATOR_CA_FILE=ca", "NIYANTA_COORDINATOR_URL=http://a:1"},
			"begins with https://"},
		{RoleWorker, []string{"NIYANTA_REDIS_CERT_FILE=c", "NIYANTA_REDIS_URL=redis://a:1"},
			"NIYANTA_REDIS_KEY_FILE go together"},
		{RoleWorker, []string{"NIYANTA_REDIS_CA_FILE=c", "NIYANTA_REDIS_URL=redis://a:1"}, "begins with rediss://"},
	} {
		assert.Contains(t, problems(c.role, c.environment...), c.want, "%v", c.environment)
	}
}

func TestTLS_WithFilesThatCannotBeUsed_StopsTheStart(t *testing.T) {
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_TLS_CERT_FILE=/nowhere/c.pem",
		"NIYANTA_TLS_KEY_FILE=/nowhere/k.pem"})
	require.NoError(t, err)
	_, err = NewDev(context.Background(), cfg, 0, "test", silent)
	require.ErrorContains(t, err, fmt.Sprintf("%sTLS_CERT_FILE", Prefix))
	require.ErrorContains(t, err, "/nowhere/c.pem: no such file or directory")
}
