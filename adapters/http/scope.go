package http

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

type contextKey int

const (
	keyRequestID contextKey = iota
	keyScope
)

// scope is what the middlewares learn about a request, for handlers and the access log.
type scope struct {
	key       string   // that the request was sent with, or its session; a socket's is not here
	session   *session // that the key comes from; nil: the client sent it
	principal domain.Principal
	address   string // that the request came from
	forwarded string // the addresses before that one, by the request's own word
	secure    bool   // whether the client uses TLS
	// workerNames are the ids that the client certificate is for; nil: none is asked for.
	workerNames workerNames
	method      string
	op          operation
	socket      *socket       // nil: the operation does not speak WebSocket
	place       *place        // what it has taken of the requests in flight; nil: it is not bounded
	began       time.Time     // when it became a stream; zero: it is none
	length      int64         // of a body that is bytes; -1: the request does not state it
	items       int           // of a body whose items are checked one by one; see each
	refused     map[int]error // those that were refused on their own
	call        *call         // the RPC that the request is; nil: it is none
	answered    int           // the status, where that of the HTTP answer does not say it; 0: it does
	digest      [32]byte      // of a body with items, if the request has an idempotency key; see digestOf
}

// credentialsEnd returns when the session or the token of the request ends; zero: neither does, or
// there is none.
func (s *scope) credentialsEnd() time.Time {
	end := s.principal.TokenExpires
	if s.session != nil && (end.IsZero() || s.session.Expires.Before(end)) {
		end = s.session.Expires
	}
	return end
}

func scopeOf(ctx context.Context) *scope {
	if s, ok := ctx.Value(keyScope).(*scope); ok {
		return s
	}
	return &scope{}
}

func requestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(keyRequestID).(string)
	return id
}

// routeOf returns the path pattern of the request's operation, or "other". Metrics use it as a
// label, so the number of its values is bounded.
func routeOf(ctx context.Context) string {
	if op := scopeOf(ctx).op; op.path != "" {
		return op.path
	}
	return "other"
}

// admin returns the caller as the audit of administrators names it.
func admin(ctx context.Context) domain.Admin {
	s := scopeOf(ctx)
	return domain.Admin{
		KeyID: s.principal.KeyID, KeyName: s.principal.KeyName, Address: s.address, ForwardedFor: s.forwarded,
		RequestID: requestIDOf(ctx),
	}
}

// actor returns the caller as the audit trail names it.
func actor(ctx context.Context) domain.Actor {
	return scopeOf(ctx).principal.Actor()
}
