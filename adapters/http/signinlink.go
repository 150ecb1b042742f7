package http

import (
	"context"
	"strings"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

// linkScheme begins the code of a link that signs a browser in.
const linkScheme = "sil_"

// link is what the code of a link holds, encrypted. Key is the key of the session that it begins: no
// coordinator stores keys. Ticket makes the code count once, for domain.LinkLifetime.
type link struct {
	Key    string `json:"key"`
	Ticket string `json:"ticket"`
}

// CreateSignInLink implements POST /v1/session/links.
func (a *api) CreateSignInLink(
	ctx context.Context, _ gen.CreateSignInLinkRequestObject,
) (gen.CreateSignInLinkResponseObject, error) {
	s := scopeOf(ctx)
	if s.session != nil {
		return nil, domain.NewError(domain.CodeForbidden,
			"a session does not begin another one: send the key in Authorization")
	}
	trial := *s
	if _, err := a.begin(&trial); err != nil {
		return nil, err // the link could not begin a session
	}
	ticket, made, err := a.Tenancy.CreateTicket(ctx, s.principal)
	if err != nil {
		return nil, err
	}
	code, err := encrypt(a.sessions.links, link{s.key, ticket})
	return gen.CreateSignInLink201JSONResponse{
		Code: linkScheme + code, ExpiresAt: at(made.Add(domain.LinkLifetime)),
	}, err
}

// signingIn redeems a code that was sent in place of a key, and returns its key. A code counts once, and
// only to sign in. Whatever else was sent is returned unchanged, and is then refused if it is no key.
func (a *api) signingIn(ctx context.Context, sent string) (key string, err error) {
	code, ok := strings.CutPrefix(sent, linkScheme)
	var l link
	if !ok || !decrypt(a.sessions.links, code, &l) {
		return sent, nil
	}
	p, err := a.Tenancy.Authenticate(ctx, l.Key)
	if err == nil {
		_, err = a.Tenancy.RedeemTicket(ctx, l.Ticket, domain.LinkLifetime, &p)
	}
	return l.Key, err
}
