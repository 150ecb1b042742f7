package certificates

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"
)

// Files are the paths of PEM files. Each may be empty.
type Files struct {
	// CA holds the certificates of the authorities that the other side is checked against. Empty: a
	// client checks servers against those of the system, and a server asks clients for nothing.
	CA string
	// Cert holds the certificate that this side shows, with its intermediates. Key holds its
	// private key. They go together.
	Cert, Key string
}

// fileLimit is the largest size of a file, in bytes.
const fileLimit = 1 << 20

// content is what the files held when they were read.
type content struct{ ca, cert, key []byte }

func (c *content) equal(d *content) bool {
	return bytes.Equal(c.ca, d.ca) && bytes.Equal(c.cert, d.cert) && bytes.Equal(c.key, d.key)
}

// read reads the files that are named.
func (f Files) read() (content, error) {
	if (f.Cert == "") != (f.Key == "") {
		return content{}, errors.New("a certificate and its key go together")
	}
	var c content
	for _, file := range []struct {
		path string
		into *[]byte
	}{{f.CA, &c.ca}, {f.Cert, &c.cert}, {f.Key, &c.key}} {
		if file.path == "" {
			continue
		}
		info, err := os.Stat(file.path)
		if err != nil {
			return content{}, err
		}
		if info.Size() > fileLimit {
			return content{}, fmt.Errorf("%s is larger than %d bytes", file.path, fileLimit)
		}
		if *file.into, err = os.ReadFile(file.path); err != nil {
			return content{}, err
		}
	}
	return c, nil
}

// material is what a content means.
type material struct {
	roots   *x509.CertPool   // nil: the system's
	pair    *tls.Certificate // nil: there is none
	expires time.Time        // of the first certificate that does; zero: there is none
	server  *tls.Config
}

// parse returns what a content means. Its errors name the file.
func (f Files) parse(c *content) (*material, error) {
	m := &material{}
	if f.CA != "" {
		m.roots = x509.NewCertPool()
		if !m.roots.AppendCertsFromPEM(c.ca) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", f.CA)
		}
	}
	if f.Cert != "" {
		pair, err := tls.X509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, fmt.Errorf("%s with %s: %w", f.Cert, f.Key, err)
		}
		m.pair, m.expires = &pair, pair.Leaf.NotAfter
		for _, raw := range pair.Certificate[1:] {
			intermediate, err := x509.ParseCertificate(raw)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Cert, err)
			}
			if intermediate.NotAfter.Before(m.expires) {
				m.expires = intermediate.NotAfter
			}
		}
	}
	m.server = m.serverConfig()
	return m, nil
}

// serverConfig returns the configuration of a server. Clients are not obliged to show a
// certificate; one that they do show must be good. What needs one refuses those without. When a
// session is resumed, the library verifies its certificate against the authorities of now.
func (m *material) serverConfig() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: protocols()}
	if m.pair != nil {
		c.Certificates = []tls.Certificate{*m.pair}
	}
	if m.roots != nil {
		c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, m.roots
	}
	return c
}

func (m *material) clientConfig() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: m.roots}
	if m.pair != nil {
		c.Certificates = []tls.Certificate{*m.pair}
	}
	return c
}

// protocols are those that HTTP servers and clients agree on.
func protocols() []string { return []string{"h2", "http/1.1"} }
