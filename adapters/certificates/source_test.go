package certificates

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// opened returns a source whose clock the test moves.
func opened(t *testing.T, f Files) (s *Source, log *testfiles.Log, pass func()) {
	t.Helper()
	log = &testfiles.Log{}
	s, err := Open(f, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	var later time.Duration
	s.now = func() time.Time { return time.Now().Add(later) }
	return s, log, func() { later += checkInterval }
}

// serve serves over TLS with what a source has, and returns the URL.
func serve(t *testing.T, s *Source) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := ""
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		_, _ = io.WriteString(w, name)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	listener := server.Listener
	server.Config.TLSConfig = s.Server()
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Config.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { _ = server.Config.Close(); <-done })
	return "https://" + listener.Addr().String()
}

// client returns an HTTP client with what a source has, whose connections end with the test.
func client(t *testing.T, s *Source) *http.Client {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	s.Equip(transport)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// get returns the name of the client's certificate as the server has seen it, the server's
// certificate, and the protocol.
func get(c *http.Client, url string) (seen string, of *x509.Certificate, protocol string, err error) {
	resp, err := c.Get(url) //nolint:noctx // of a test
	if err != nil {
		return "", nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), resp.TLS.PeerCertificates[0], resp.Proto, err
}

func TestServer_ForEachClient_AcceptsWhatIsGood(t *testing.T) {
	a, other := testfiles.NewAuthority(t), testfiles.NewAuthority(t)
	shown := a.Issue(t, "server")
	s, _, _ := opened(t, Files{CA: a.CA, Cert: shown.Cert, Key: shown.Key})
	url := serve(t, s)
	try := func(f Files) (string, error) {
		c, _, _ := opened(t, f)
		seen, _, protocol, err := get(client(t, c), url)
		if err == nil {
			assert.Equal(t, "HTTP/2.0", protocol)
		}
		return seen, err
	}
	good, foreign := a.Issue(t, "w1"), other.Issue(t, "w2")
	old := a.Issue(t, "w3", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	onlyServer := a.Issue(t, "w4", func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	seen, err := try(Files{CA: a.CA})
	require.NoError(t, err, "a client needs no certificate")
	assert.Empty(t, seen)
	seen, err = try(Files{CA: a.CA, Cert: good.Cert, Key: good.Key})
	require.NoError(t, err)
	assert.Equal(t, "w1", seen)
	seen, err = try(Files{CA: a.CA, Cert: foreign.Cert, Key: foreign.Key})
	require.NoError(t, err)
	assert.Empty(t, seen, "a certificate of another authority is not shown")
	_, err = try(Files{CA: a.CA, Cert: old.Cert, Key: old.Key})
	require.Error(t, err, "an expired certificate")
	_, err = try(Files{CA: a.CA, Cert: onlyServer.Cert, Key: onlyServer.Key})
	require.Error(t, err, "a server's certificate is no client's")
	_, err = try(Files{CA: other.CA})
	require.ErrorContains(t, err, "unknown authority")
}

func TestServer_WhenAClientForcesAForeignCertificate_RefusesIt(t *testing.T) {
	a, other := testfiles.NewAuthority(t), testfiles.NewAuthority(t)
	shown, foreign := a.Issue(t, "server"), other.Issue(t, "w1")
	s, _, _ := opened(t, Files{CA: a.CA, Cert: shown.Cert, Key: shown.Key})
	url := serve(t, s)
	pair, err := tls.LoadX509KeyPair(foreign.Cert, foreign.Key)
	require.NoError(t, err)
	trusting, _, _ := opened(t, Files{CA: a.CA})
	config := trusting.Client()
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	t.Cleanup(c.CloseIdleConnections)
	_, _, _, err = get(c, url)
	require.Error(t, err)
}

func TestServer_BelowTLS13_Refuses(t *testing.T) {
	a := testfiles.NewAuthority(t)
	shown := a.Issue(t, "server")
	s, _, _ := opened(t, Files{Cert: shown.Cert, Key: shown.Key})
	url := serve(t, s)
	trusting, _, _ := opened(t, Files{CA: a.CA})
	config := trusting.Client()
	config.MaxVersion = tls.VersionTLS12
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	_, _, _, err := get(c, url)
	require.ErrorContains(t, err, "protocol version")
}

func TestSource_WhenItsFilesChange_UsesTheNewOnesForNewConnections(t *testing.T) {
	a := testfiles.NewAuthority(t)
	shown := a.Issue(t, "server")
	s, log, pass := opened(t, Files{Cert: shown.Cert, Key: shown.Key})
	url := serve(t, s)
	trusting, _, _ := opened(t, Files{CA: a.CA})
	first := client(t, trusting)
	_, before, _, err := get(first, url)
	require.NoError(t, err)

	a.Issue(t, "server")
	pass()
	_, same, _, err := get(first, url)
	require.NoError(t, err, "its open connection goes on")
	assert.Equal(t, before.SerialNumber, same.SerialNumber)
	_, after, _, err := get(client(t, trusting), url)
	require.NoError(t, err)
	assert.NotEqual(t, before.SerialNumber, after.SerialNumber)
	assert.Equal(t, 1, log.Count("new certificates are in use"))
	assert.Equal(t, State{Expires: after.NotAfter}, s.State())
}

func TestSource_WhenItsNewFilesAreBroken_KeepsTheEarlierOnesAndLogsOnce(t *testing.T) {
	a := testfiles.NewAuthority(t)
	shown := a.Issue(t, "server")
	s, log, pass := opened(t, Files{Cert: shown.Cert, Key: shown.Key})
	before := s.State()
	url := serve(t, s)
	trusting, _, _ := opened(t, Files{CA: a.CA})
	other := a.Issue(t, "other")
	otherKey, err := os.ReadFile(other.Key)
	require.NoError(t, err)
	for name, spoil := range map[string]func(){
		"private key does not match": func() { require.NoError(t, os.WriteFile(shown.Key, otherKey, 0o600)) },
		"failed to find any PEM":     func() { require.NoError(t, os.WriteFile(shown.Cert, []byte("half a cert"), 0o600)) },
		"no such file":               func() { require.NoError(t, os.Remove(shown.Cert)) },
		"has expired": func() {
			a.Issue(t, "server", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
		},
	} {
		spoil()
		lines := log.Count("cannot be used")
		for range 3 {
			pass()
			state := s.State()
			require.ErrorContains(t, state.Broken, name)
			assert.Equal(t, before.Expires, state.Expires)
		}
		assert.Equal(t, lines+1, log.Count("cannot be used"), name)
		_, _, _, err := get(client(t, trusting), url)
		require.NoError(t, err, name)
		a.Issue(t, "server")
		pass()
		require.NoError(t, s.State().Broken, "good ones are used again")
		before = s.State()
	}
}

func TestClient_WhenItsAuthoritiesChange_ChecksAgainstTheNewOnes(t *testing.T) {
	a, other := testfiles.NewAuthority(t), testfiles.NewAuthority(t)
	shown := a.Issue(t, "server")
	s, _, _ := opened(t, Files{Cert: shown.Cert, Key: shown.Key})
	url := serve(t, s)
	trusted := t.TempDir() + "/ca.pem"
	write := func(from string) {
		b, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(trusted, b, 0o600))
	}
	write(other.CA)
	trusting, _, pass := opened(t, Files{CA: trusted})
	c := client(t, trusting)
	_, _, _, err := get(c, url)
	require.ErrorContains(t, err, "unknown authority")
	write(a.CA)
	pass()
	_, _, _, err = get(c, url)
	require.NoError(t, err, "the same client, without a restart")
}

func TestServer_WhenAnAuthorityIsTakenOut_ResumesNoSessionOfIt(t *testing.T) {
	a, other := testfiles.NewAuthority(t), testfiles.NewAuthority(t)
	shown, of := a.Issue(t, "server"), a.Issue(t, "w1")
	trusted := t.TempDir() + "/ca.pem"
	write := func(from string) {
		b, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(trusted, b, 0o600))
	}
	write(a.CA)
	s, _, pass := opened(t, Files{CA: trusted, Cert: shown.Cert, Key: shown.Key})
	url := serve(t, s)
	c, _, _ := opened(t, Files{CA: a.CA, Cert: of.Cert, Key: of.Key})
	config := c.Client()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	seen := func() (name string, resumed bool) {
		hc := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		defer hc.CloseIdleConnections()
		resp, err := hc.Get(url) //nolint:noctx // of a test
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(body), resp.TLS.DidResume
	}
	name, _ := seen()
	require.Equal(t, "w1", name)
	name, resumed := seen()
	require.Equal(t, "w1", name)
	require.True(t, resumed, "while its authority is there")
	write(other.CA)
	pass()
	name, resumed = seen()
	assert.Empty(t, name, "its certificate counts no more")
	assert.False(t, resumed)
}

func TestOpen_OfFilesThatCannotBeUsed_NamesThem(t *testing.T) {
	a := testfiles.NewAuthority(t)
	shown, other := a.Issue(t, "server"), a.Issue(t, "other")
	empty := t.TempDir() + "/empty.pem"
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for want, f := range map[string]Files{
		"go together":                         {Cert: shown.Cert},
		empty + " holds no certificate":       {CA: empty},
		shown.Cert + " with " + other.Key:     {Cert: shown.Cert, Key: other.Key},
		"/nowhere/ca.pem: no such file or di": {CA: "/nowhere/ca.pem"},
	} {
		_, err := Open(f, slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, want)
	}
	s, err := Open(Files{}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	assert.Nil(t, s)
	assert.Equal(t, State{}, s.State())
	assert.Nil(t, s.Client().RootCAs)
}

func TestEquip_WhenTheServerIsSilent_GivesUpTheHandshake(t *testing.T) {
	a := testfiles.NewAuthority(t)
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	s, _, _ := opened(t, Files{CA: a.CA})
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSHandshakeTimeout = 50 * time.Millisecond
	s.Equip(transport)
	_, _, _, err = get(&http.Client{Transport: transport}, "https://"+listener.Addr().String())
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
