package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/niyanta/niyanta/core/domain"
)

// leeway is how far the clocks of the provider and of this process may be apart.
const leeway = 30 * time.Second

// Options describe the provider, and what its tokens say.
type Options struct {
	// Issuer is the provider's URL, as its tokens name it. Audience is what they name this
	// installation.
	Issuer, Audience string
	// CustomerClaim and RoleClaim are the names of claims. Dots lead into objects.
	CustomerClaim, RoleClaim string
	// Transport carries the requests to the provider.
	Transport http.RoundTripper
	Log       *slog.Logger
	// Now is the time; nil: time.Now.
	Now func() time.Time
}

// Verifier implements ports.TokenVerifier.
type Verifier struct {
	o    Options
	keys *keys
}

// New returns a verifier. It does not need the provider: it asks when Refresh is called, or a token
// comes.
func New(o Options) *Verifier {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Verifier{o, &keys{
		issuer: o.Issuer, now: o.Now, client: &http.Client{Transport: o.Transport, Timeout: askTimeout},
	}}
}

// Refresh reads the provider's keys. If that fails, those from before stay in use.
func (v *Verifier) Refresh(ctx context.Context) error { return v.keys.look(ctx) }

// Ping returns why the provider's keys could not be read when that was last tried.
func (v *Verifier) Ping(context.Context) error { return v.keys.state() }

// Verify implements ports.TokenVerifier.
func (v *Verifier) Verify(ctx context.Context, token string) (domain.Identity, error) {
	if len(token) > domain.TokenLimit {
		return domain.Identity{}, refused()
	}
	signature := &attempt{keys: v.keys}
	verified, err := oidc.NewVerifier(v.o.Issuer, signature, &oidc.Config{
		ClientID: v.o.Audience, SupportedSigningAlgs: algorithms(),
		Now: func() time.Time { return v.o.Now().Add(-leeway) }, // for the expiry; see inTime
	}).Verify(ctx, token)
	switch {
	case errors.Is(signature.err, errNoKeys):
		return domain.Identity{}, domain.Unavailable(askInterval, "the identity provider does not answer")
	case err != nil:
		v.o.Log.Debug("a token was refused", "reason", err)
		return domain.Identity{}, refused()
	}
	var claims map[string]any
	if err = verified.Claims(&claims); err == nil {
		err = v.inTime(verified, claims)
	}
	if err != nil {
		v.o.Log.Debug("a token was refused", "reason", err)
		return domain.Identity{}, refused()
	}
	customer, _ := claim(claims, v.o.CustomerClaim).(string)
	return domain.Identity{
		Subject: verified.Subject, Name: nameOf(claims), CustomerID: domain.CustomerID(customer),
		Roles: texts(claim(claims, v.o.RoleClaim)), ExpiresAt: verified.Expiry.Add(leeway),
	}, nil
}

// attempt is the check of one token's signature. It keeps why that failed, which the library's
// error only says as text.
type attempt struct {
	keys *keys
	err  error
}

// VerifySignature implements oidc.KeySet.
func (a *attempt) VerifySignature(ctx context.Context, token string) (payload []byte, err error) {
	payload, a.err = a.keys.verifySignature(ctx, token)
	return payload, a.err
}

func refused() error { return domain.NewError(domain.CodeUnauthorized, "the token is not accepted") }

// inTime refuses tokens for later. The library has checked the expiry; for the beginning it allows
// minutes.
func (v *Verifier) inTime(t *oidc.IDToken, claims map[string]any) error {
	latest := v.o.Now().Add(leeway)
	if t.IssuedAt.After(latest) {
		return errors.New("it was issued in the future")
	}
	before, stated := claims["nbf"]
	if !stated {
		return nil
	}
	seconds, ok := before.(float64)
	if !ok || time.Unix(int64(seconds), 0).After(latest) {
		return fmt.Errorf("it is not valid before %v", before)
	}
	return nil
}

// claim returns a claim by its name, or else by its path. It is nil if there is none.
func claim(claims map[string]any, name string) any {
	if v, found := claims[name]; found {
		return v
	}
	first, rest, deeper := strings.Cut(name, ".")
	inner, isObject := claims[first].(map[string]any)
	if !deeper || !isObject {
		return nil
	}
	return claim(inner, rest)
}

// texts returns a claim that is a text or a list of texts.
func texts(v any) []string {
	if s, is := v.(string); is {
		return []string{s}
	}
	list, _ := v.([]any)
	var out []string
	for _, item := range list {
		if s, is := item.(string); is {
			out = append(out, s)
		}
	}
	return out
}

// nameOf returns what tells people who the bearer is.
func nameOf(claims map[string]any) string {
	for _, name := range []string{"preferred_username", "email", "name", "client_id", "azp"} {
		if s, is := claims[name].(string); is && s != "" {
			return s
		}
	}
	return ""
}

// ValidClaim reports whether a name can be that of a claim.
func ValidClaim(name string) bool {
	return name != "" && !slices.Contains(strings.Split(name, "."), "")
}
