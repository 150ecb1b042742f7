package certificates

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// checkInterval is the shortest time between two looks at the files.
const checkInterval = 2 * time.Second

// Source has what files hold. It looks at them when a connection begins, and when State is called,
// at most once in checkInterval. New files apply to the connections that follow. Files that cannot
// be used change nothing: the earlier ones stay in use until there are good ones. Safe for
// concurrent use. A nil Source is a client's without files.
type Source struct {
	files Files
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	checked time.Time
	read    content // last, whether it can be used or not
	current *material
	broken  error // nil: current is what the files say
}

// Open reads the files. Its error names the file. It returns nil if no file is named.
func Open(f Files, log *slog.Logger) (*Source, error) {
	if f == (Files{}) {
		return nil, nil
	}
	s := &Source{files: f, log: log, now: time.Now}
	read, err := f.read()
	if err != nil {
		return nil, err
	}
	if s.current, err = f.parse(&read); err != nil {
		return nil, err
	}
	s.read, s.checked = read, s.now()
	if s.expired(s.current) {
		log.Warn("the certificate has expired: replace it", "file", f.Cert, "expired_at", s.current.expires)
	}
	return s, nil
}

// State is how a certificate stands.
type State struct {
	// Expires is when the certificate does; zero: there is none.
	Expires time.Time
	// Broken is why the files cannot be used as they are now. Those before them are in use.
	Broken error
}

// State looks at the files and returns how they stand.
func (s *Source) State() State {
	if s == nil {
		return State{}
	}
	m, broken := s.look()
	return State{m.expires, broken}
}

// Expires returns when the certificate that is in use expires. It is zero if there is none.
func (s *Source) Expires() time.Time { return s.State().Expires }

// Expiries returns, by connection, what says when the certificate of a connection expires. A
// connection without one is left out.
func Expiries(connections map[string]*Source) map[string]func() time.Time {
	expiries := map[string]func() time.Time{}
	for name, s := range connections {
		if !s.Expires().IsZero() {
			expiries[name] = s.Expires
		}
	}
	return expiries
}

// Server returns the configuration of a server. It accepts TLS 1.3 only. With a CA it verifies the
// certificates of clients that have one. Of a nil Source it is nil: the server speaks plain HTTP.
func (s *Source) Server() *tls.Config {
	if s == nil {
		return nil
	}
	m, _ := s.look()
	c := m.server.Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		m, _ := s.look()
		return m.server, nil
	}
	return c
}

// Client returns the configuration of a connection that begins now.
func (s *Source) Client() *tls.Config {
	if s == nil {
		return (&material{}).clientConfig()
	}
	m, _ := s.look()
	return m.clientConfig()
}

var errExpired = errors.New("the certificate has expired")

// look reads the files if that is due, and returns what is in use.
func (s *Source) look() (*material, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now.Sub(s.checked) < checkInterval {
		return s.current, s.broken
	}
	s.checked = now
	read, err := s.files.read()
	if err == nil && s.read.equal(&read) {
		return s.current, s.broken
	}
	s.read = read
	var m *material
	if err == nil {
		m, err = s.files.parse(&read)
	}
	if err == nil && s.expired(m) && !s.expired(s.current) {
		err = errExpired
	}
	if err != nil {
		s.keepLocked(err)
		return s.current, s.broken
	}
	s.current, s.broken = m, nil
	s.log.Info("new certificates are in use", "file", s.name(), "expires_at", m.expires)
	return s.current, nil
}

// keepLocked keeps what is in use. It logs why, once.
func (s *Source) keepLocked(err error) {
	if s.broken == nil || s.broken.Error() != err.Error() {
		s.log.Warn("the new certificates cannot be used: the earlier ones stay in use", "file", s.name(), "error", err)
	}
	s.broken = err
}

// expired reports whether the certificate of m has expired.
func (s *Source) expired(m *material) bool { return m.pair != nil && !s.now().Before(m.expires) }

// name returns the file that names the source in logs.
func (s *Source) name() string {
	if s.files.Cert != "" {
		return s.files.Cert
	}
	return s.files.CA
}
