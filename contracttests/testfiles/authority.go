package testfiles

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Authority issues certificates. Each one has a name of its own. Its folder belongs to the servers'
// user, and goes with the test.
type Authority struct {
	// CA is the path of the authority's certificate, in PEM.
	CA string

	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Pool returns the pool of this authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Pair is the paths of a certificate and of its key, in PEM.
type Pair struct{ Cert, Key string }

// NewAuthority makes an authority.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	dir, err := Folder("ca")
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = os.RemoveAll(dir) }) // a temporary folder
	a := &Authority{dir: dir, CA: filepath.Join(dir, "ca.pem")}
	template := template("authority of " + dir)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	a.cert, a.key = a.sign(tb, template)
	a.write(tb, a.CA, "CERTIFICATE", a.cert.Raw)
	return a
}

// Issue issues a certificate for a name and for loopback, which servers and clients can use, unless
// change makes it another one. The same name overwrites the files of the earlier certificate.
func (a *Authority) Issue(tb testing.TB, name string, change ...func(*x509.Certificate)) Pair {
	tb.Helper()
	template := template(name)
	for _, f := range change {
		f(template)
	}
	cert, key := a.sign(tb, template)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(tb, err)
	p := Pair{filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")}
	a.write(tb, p.Key, "PRIVATE KEY", raw)
	a.write(tb, p.Cert, "CERTIFICATE", cert.Raw)
	return p
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// sign makes a key and a certificate for it. The first one signs itself.
func (a *Authority) sign(tb testing.TB, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(raw)
	require.NoError(tb, err)
	return cert, key
}

// write writes a file that only the servers' user may read.
func (a *Authority) write(tb testing.TB, path, kind string, raw []byte) {
	tb.Helper()
	require.NoError(tb, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600))
	cred, err := Credential()
	require.NoError(tb, err)
	if cred != nil {
		require.NoError(tb, os.Chown(path, int(cred.Uid), int(cred.Gid)))
	}
}
