package http

import (
	"context"
	"strings"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

// CreateTicket implements POST /v1/ws/tickets.
func (a *api) CreateTicket(
	ctx context.Context, _ gen.CreateTicketRequestObject,
) (gen.CreateTicketResponseObject, error) {
	p := scopeOf(ctx).principal
	ticket, made, err := a.Tenancy.CreateTicket(ctx, p)
	if err == nil && !p.TokenExpires.IsZero() {
		ticket, err = a.sessions.withBearer(ticket, p)
	}
	if err != nil {
		return nil, err
	}
	return gen.CreateTicket201JSONResponse{Ticket: ticket, ExpiresAt: at(made.Add(domain.SocketTicketLifetime))}, nil
}

// redeem returns the principal that a ticket stands for. A ticket counts once.
func (a *api) redeem(ctx context.Context, sent string) (domain.Principal, error) {
	ticket, _, withBearer := strings.Cut(sent, bearerSeparator)
	bearer := a.sessions.bearerOf(sent)
	if withBearer && bearer == nil {
		ticket = "" // it was not made as it is, and is refused like any other
	}
	return a.Tenancy.RedeemTicket(ctx, ticket, domain.SocketTicketLifetime, bearer)
}

// bearerSeparator stands between a ticket and who made it.
const bearerSeparator = "."

// ticketBearer is who made a ticket with a token, which no coordinator stores. It is encrypted, and
// belongs to that ticket only: with another one, what a bearer might do once would last.
type ticketBearer struct {
	Ticket     string            `json:"ticket"`
	Role       domain.Role       `json:"role"`
	CustomerID domain.CustomerID `json:"customer_id,omitempty"`
	KeyID      domain.KeyID      `json:"key_id"`
	KeyName    string            `json:"key_name,omitempty"`
	Expires    time.Time         `json:"expires"`
}

// withBearer returns a ticket with who made it.
func (s sessions) withBearer(ticket string, p domain.Principal) (string, error) {
	encrypted, err := encrypt(s.tickets, ticketBearer{ticket, p.Role, p.CustomerID, p.KeyID, p.KeyName, p.TokenExpires})
	return ticket + bearerSeparator + encrypted, err
}

// bearerOf returns who made a ticket with a token. It is nil if a ticket says nobody, or was not made
// here as it is.
func (s sessions) bearerOf(sent string) *domain.Principal {
	ticket, encrypted, _ := strings.Cut(sent, bearerSeparator)
	var b ticketBearer
	if !decrypt(s.tickets, encrypted, &b) || b.Ticket != ticket {
		return nil
	}
	return &domain.Principal{
		Role: b.Role, CustomerID: b.CustomerID, KeyID: b.KeyID, KeyName: b.KeyName, TokenExpires: b.Expires,
	}
}
