package domain

import (
	"crypto/sha256"
	"strings"
	"time"
)

// Ticket lets a client do one thing with a key that it cannot send there: a browser cannot send one
// with a WebSocket, and a link must not hold one. Only its digest is stored.
type Ticket struct {
	// Digest is the SHA-256 of the whole ticket.
	Digest [32]byte
	// KeyID is the key that made the ticket. KeyPrefix is the key's lookup prefix; it is empty for a
	// key of the configuration.
	KeyID     KeyID
	KeyPrefix string
	CreatedAt time.Time
}

const (
	// SocketTicketLifetime is how long a ticket can open a WebSocket.
	SocketTicketLifetime = 30 * time.Second
	// LinkLifetime is how long a link can sign a browser in.
	LinkLifetime = time.Minute
	// TicketRetention is how long tickets are kept. No lifetime is longer.
	TicketRetention = LinkLifetime
)

const ticketScheme = "tkt_"

// FormatTicket builds the secret of a ticket from 20 random bytes.
func FormatTicket(random [20]byte) string { return ticketScheme + idEncoding.EncodeToString(random[:]) }

// TicketDigest returns the digest of a ticket. ok is false when s does not have the form of one, so
// that no store is asked for it.
func TicketDigest(s string) (digest [32]byte, ok bool) {
	body, found := strings.CutPrefix(s, ticketScheme)
	if !found || len(body) != keySecretLength || !only(body, isLowerAlnum) {
		return digest, false
	}
	return sha256.Sum256([]byte(s)), true
}

// ErrTicketExists is the answer to the creation of a ticket whose digest is taken.
func ErrTicketExists() error { return NewError(CodeConflict, "the ticket exists already") }

// Expired reports whether the ticket is as old as its lifetime, so that it cannot be redeemed.
func (t Ticket) Expired(now time.Time, lifetime time.Duration) bool {
	return now.Sub(t.CreatedAt) >= lifetime
}
