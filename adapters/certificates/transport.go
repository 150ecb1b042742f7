package certificates

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
)

// Equip has each new connection of a transport use what the files hold at that time. Call it when
// the rest of the transport is set. Connections through a proxy are checked against the authorities
// of now for as long as the transport lives.
func (s *Source) Equip(t *http.Transport) {
	if s == nil {
		return
	}
	t.TLSClientConfig = s.Client()
	t.TLSClientConfig.Certificates = nil
	t.TLSClientConfig.GetClientCertificate = s.clientCertificate
	dial, timeout := t.DialContext, t.TLSHandshakeTimeout
	t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := s.Client()
		c.NextProtos = protocols()
		if c.ServerName, _, err = net.SplitHostPort(address); err != nil {
			_ = conn.Close() // it was not used
			return nil, err
		}
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		secured := tls.Client(conn, c)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = conn.Close() // the handshake's error says more
			return nil, err
		}
		return secured, nil
	}
}

// clientCertificate returns the certificate if the server accepts its authority.
func (s *Source) clientCertificate(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	m, _ := s.look()
	if m.pair == nil || asked.SupportsCertificate(m.pair) != nil {
		return &tls.Certificate{}, nil
	}
	return m.pair, nil
}
