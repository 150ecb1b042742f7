package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/niyanta/niyanta/adapters/certificates"
	"github.com/niyanta/niyanta/adapters/oidc"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/coordinator"
)

const (
	// issuerInterval is the time between two looks at the keys of the identity provider. A key that
	// the provider withdraws is accepted for as long. issuerRetry is the time after a look that
	// failed.
	issuerInterval = 5 * time.Minute
	issuerRetry    = 5 * time.Second
)

// Identity verifies tokens of an identity provider. Verifier is nil without one.
type Identity struct{ Verifier *oidc.Verifier }

// tokens returns the verifier as the core knows it, nil without one.
func (i Identity) tokens() ports.TokenVerifier {
	if i.Verifier == nil {
		return nil
	}
	return i.Verifier
}

// ping returns what tells whether the provider answers, nil without one.
func (i Identity) ping() func(context.Context) error {
	if i.Verifier == nil {
		return nil
	}
	return i.Verifier.Ping
}

// openIdentity returns the verifier that the configuration describes.
func openIdentity(cfg Config, h coordinator.Host) (Identity, error) {
	if cfg.OIDCIssuer == "" {
		return Identity{}, nil
	}
	v, err := cfg.verifier(h.Log.With("setting", Prefix+"OIDC_ISSUER"))
	return Identity{v}, err
}

func (c Config) verifier(log *slog.Logger) (*oidc.Verifier, error) {
	trusted, err := certificates.Open(certificates.Files{CA: c.OIDCCA}, log)
	if err != nil {
		return nil, fmt.Errorf("%sOIDC_CA_FILE: %w", Prefix, err)
	}
	return oidc.New(oidc.Options{
		Issuer: c.OIDCIssuer, Audience: c.OIDCAudience, CustomerClaim: c.OIDCCustomerClaim, RoleClaim: c.OIDCRoleClaim,
		Transport: issuerTransport(trusted), Log: log,
	}), nil
}

// issuerTransport returns what the identity provider is asked over. It notices a dead connection of
// HTTP/2: each look at the keys would go over it.
func issuerTransport(trusted *certificates.Source) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented to be one
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second}
	trusted.Equip(t)
	return t
}

// watchIssuer reads the keys of the identity provider now and then, until ctx ends. It logs when
// the provider stops or begins to answer.
func (a *App) watchIssuer(ctx context.Context) {
	v, failing := a.backends.Identity.Verifier, false
	if v == nil {
		return
	}
	log := a.log.With("setting", Prefix+"OIDC_ISSUER", "issuer", a.cfg.OIDCIssuer)
	for {
		err := v.Refresh(ctx)
		pause := issuerInterval
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			pause = issuerRetry
			if !failing {
				log.Warn("the identity provider cannot be asked: tokens are verified with the keys that it had, if any",
					"error", err)
			}
		case failing:
			log.Info("the identity provider answers again")
		}
		failing = err != nil
		if system.Sleep(ctx, pause) != nil {
			return
		}
	}
}

// roleNames parses NIYANTA_OIDC_ROLES.
func (c Config) roleNames() (domain.RoleNames, error) {
	if len(c.OIDCRoles) == 0 {
		return domain.OwnRoleNames(), nil
	}
	var names domain.RoleNames
	for _, pair := range c.OIDCRoles {
		at := strings.LastIndexByte(pair, '=')
		if at <= 0 {
			return nil, fmt.Errorf("must look like name=role,name=role, not %q", pair)
		}
		names = append(names, domain.RoleName{Name: strings.TrimSpace(pair[:at]), Role: domain.Role(pair[at+1:])})
	}
	return names, names.Validate()
}

// validateIdentity checks the settings of the identity provider.
func (c Config) validateIdentity(wrong func(string, string, ...any)) {
	if _, err := c.roleNames(); err != nil {
		wrong("OIDC_ROLES", "%s", message(err))
	}
	for _, claim := range [][2]string{{"CUSTOMER", c.OIDCCustomerClaim}, {"ROLE", c.OIDCRoleClaim}} {
		if !oidc.ValidClaim(claim[1]) {
			wrong("OIDC_"+claim[0]+"_CLAIM", "must be the name of a claim, or a path like realm.roles, not %q", claim[1])
		}
	}
	if c.OIDCIssuer == "" {
		if c.OIDCAudience != "" {
			wrong("OIDC_AUDIENCE", "is set, but %sOIDC_ISSUER is not", Prefix)
		}
		return
	}
	u, err := url.Parse(c.OIDCIssuer)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && u.Scheme != "http":
		wrong("OIDC_ISSUER", "must be the provider's URL, like https://login.example.com, not %q", maskURL(c.OIDCIssuer))
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		wrong("OIDC_ISSUER", "must begin with https://: over plain HTTP anybody on the way could put in keys")
	}
	if c.OIDCAudience == "" {
		wrong("OIDC_AUDIENCE", "is required with %sOIDC_ISSUER: without it, tokens for other applications would be accepted",
			Prefix)
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// CheckIdentity checks the settings of the identity provider, and that the provider answers.
// checked is false if there is none.
func (c Config) CheckIdentity(ctx context.Context) (checked bool, err error) {
	var errs []error
	c.validateIdentity(func(variable, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s%s: %s", Prefix, variable, fmt.Sprintf(format, args...)))
	})
	if c.OIDCIssuer == "" || len(errs) > 0 {
		return len(errs) > 0, errors.Join(errs...)
	}
	v, err := c.verifier(slog.New(slog.DiscardHandler))
	if err == nil {
		err = v.Refresh(ctx)
	}
	if err != nil {
		err = fmt.Errorf("%sOIDC_ISSUER: %s cannot be asked for its keys: %w", Prefix, c.OIDCIssuer, err)
	}
	return true, err
}
