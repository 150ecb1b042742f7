package http

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

const (
	sessionCookie = "niyanta_session"
	// sessionPath is where browsers send the cookie to.
	sessionPath = "/v1"
	// sessionLength is how long a session lasts. Nothing makes it longer.
	sessionLength = 12 * time.Hour
	csrfHeader    = "X-CSRF-Token"
	// cookieLimit bounds a session's value. Browsers keep cookies of up to 4096 bytes, with their
	// names and attributes.
	cookieLimit = 3900
)

// session is what the cookie of a signed-in browser holds.
type session struct {
	Key     string    `json:"key"`
	Expires time.Time `json:"expires"`
	csrf    string
}

// sessions encrypts sessions into cookies, and links into codes, and decrypts them. No coordinator
// keeps any, so that each one accepts what another has encrypted. A session is the key it was made
// from: each of its requests is authenticated as one with that key is.
type sessions struct {
	aead    cipher.AEAD
	links   cipher.AEAD
	tickets cipher.AEAD
	csrf    []byte
}

// newSessions derives the keys of sessions from the one that signs cursors.
func newSessions(cursorKey []byte) (sessions, error) {
	cookies, err := newAEAD(derive(cursorKey, "niyanta sessions"))
	if err != nil {
		return sessions{}, err
	}
	links, err := newAEAD(derive(cursorKey, "niyanta sign-in links"))
	if err != nil {
		return sessions{}, err
	}
	tickets, err := newAEAD(derive(cursorKey, "niyanta tickets"))
	return sessions{cookies, links, tickets, derive(cursorKey, "niyanta csrf tokens")}, err
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// encrypt encodes v as JSON and encrypts it into text. decrypt is its inverse.
func encrypt(aead cipher.AEAD, v any) (string, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, nil)), nil
}

// decrypt sets v to what encrypt was given. It reports whether encrypt made the text, with this key.
func decrypt(aead cipher.AEAD, text string, v any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < aead.NonceSize() {
		return false
	}
	plain, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], nil)
	return err == nil && json.Unmarshal(plain, v) == nil
}

func derive(key []byte, what string) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(what)) // a hash never fails to write
	return mac.Sum(nil)
}

// encode returns the value of the cookie, and sets the session's CSRF token.
func (s sessions) encode(v *session) (string, error) {
	value, err := encrypt(s.aead, v)
	v.csrf = s.token(value)
	return value, err
}

// decode returns the session of a cookie. It returns nil if the cookie was changed or has expired.
func (s sessions) decode(value string, now time.Time) *session {
	v := &session{csrf: s.token(value)}
	if !decrypt(s.aead, value, v) || !now.Before(v.Expires) {
		return nil
	}
	return v
}

// token returns the CSRF token that belongs to a cookie.
func (s sessions) token(value string) string {
	return base64.RawURLEncoding.EncodeToString(derive(s.csrf, value)[:16])
}

// sessionOf returns the session of the request's cookie, or nil. Browsers tell whether another site
// has caused a request: then it has none.
func (a *api) sessionOf(r *http.Request) *session {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return nil
	}
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	return a.sessions.decode(c.Value, time.Now())
}

// credentials returns the key of the request, and the session if it comes from a cookie. A request
// with an Authorization header is judged by that alone.
func (a *api) credentials(r *http.Request) (key string, by *session) {
	if _, sent := r.Header["Authorization"]; sent {
		return bearer(r), nil
	}
	if by = a.sessionOf(r); by != nil {
		key = by.Key
	}
	return key, by
}

// checkCSRF refuses a request that a session must not have sent unawares.
func (s *session) checkCSRF(r *http.Request) error {
	if s == nil || r.Method == http.MethodGet || r.Method == http.MethodHead ||
		subtle.ConstantTimeCompare([]byte(r.Header.Get(csrfHeader)), []byte(s.csrf)) == 1 {
		return nil
	}
	return domain.NewError(domain.CodeForbidden, "a request with the cookie of a session needs its csrf_token in %s",
		csrfHeader)
}

// SignIn implements POST /v1/session.
func (a *api) SignIn(ctx context.Context, _ gen.SignInRequestObject) (gen.SignInResponseObject, error) {
	s := scopeOf(ctx)
	if s.session != nil {
		return nil, domain.NewError(domain.CodeForbidden,
			"a session does not begin another one: send the key in Authorization")
	}
	value, err := a.begin(s)
	if err != nil {
		return nil, err
	}
	seconds := int(math.Ceil(time.Until(s.session.Expires).Seconds()))
	return gen.SignIn200JSONResponse{
		Body:    sessionOut(s),
		Headers: gen.SignIn200ResponseHeaders{SetCookie: opt(s.cookie(value, seconds))},
	}, nil
}

// begin begins the session of a request that signs in, and returns the value of its cookie.
func (a *api) begin(s *scope) (string, error) {
	s.session = &session{Key: s.key, Expires: time.Now().Add(sessionLength)}
	s.session.Expires = s.credentialsEnd() // a token may end before
	value, err := a.sessions.encode(s.session)
	if err == nil && len(value) > cookieLimit {
		err = domain.Invalid("Authorization",
			"is too large for a cookie: have the identity provider put fewer claims into its tokens")
	}
	return value, err
}

// GetSession implements GET /v1/session.
func (a *api) GetSession(ctx context.Context, _ gen.GetSessionRequestObject) (gen.GetSessionResponseObject, error) {
	return gen.GetSession200JSONResponse(sessionOut(scopeOf(ctx))), nil
}

// SignOut implements DELETE /v1/session.
func (a *api) SignOut(ctx context.Context, _ gen.SignOutRequestObject) (gen.SignOutResponseObject, error) {
	return gen.SignOut204Response{
		Headers: gen.SignOut204ResponseHeaders{SetCookie: opt(scopeOf(ctx).cookie("", -1))},
	}, nil
}

func sessionOut(s *scope) gen.Session {
	out := gen.Session{
		Role: gen.SessionRole(s.principal.Role), CustomerID: opt(string(s.principal.CustomerID)),
		KeyID: string(s.principal.KeyID), KeyName: opt(s.principal.KeyName),
	}
	if s.session != nil {
		out.CsrfToken, out.ExpiresAt = &s.session.csrf, optTime(s.session.Expires)
	}
	return out
}

// cookie returns the session's cookie with a value, to be kept for a number of seconds.
func (s *scope) cookie(value string, seconds int) string {
	c := http.Cookie{
		Name: sessionCookie, Value: value, Path: sessionPath, MaxAge: seconds, HttpOnly: true, Secure: s.secure,
		SameSite: http.SameSiteStrictMode,
	}
	return c.String()
}

// overTLS reports whether the request reached the first proxy, or else this server, over TLS.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}
