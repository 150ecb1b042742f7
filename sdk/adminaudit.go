package niyanta

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"time"

	"github.com/niyanta/niyanta/api/client"
)

// AdminEvent is what an administrator did.
type AdminEvent struct {
	// ActorID is the id of the key that was used.
	ActorID string `json:"actor_id"`

	// ActorName is the name of the key.
	ActorName string `json:"actor_name"`
	ActorType string `json:"actor_type"`

	// Address is the network address that the request came from.
	Address string `json:"address"`

	// After is the target after the action; null: there is none any more.
	After json.RawMessage `json:"after"`

	// Before is the target before the action; null: there was none.
	Before json.RawMessage `json:"before"`

	// CustomerID is the customer that the action concerns; nil: none.
	CustomerID *string `json:"customer_id,omitempty"`
	EventID    int64   `json:"event_id"`

	// EventType is such as "customer.updated".
	EventType string `json:"event_type"`

	// ForwardedFor is the header X-Forwarded-For of the request, which anybody may write.
	ForwardedFor *string   `json:"forwarded_for,omitempty"`
	RequestID    string    `json:"request_id"`
	TargetID     string    `json:"target_id"`
	TargetType   string    `json:"target_type"`
	Timestamp    time.Time `json:"timestamp"`
}

// AdminAuditParams select what administrators did. What is empty selects all; several fields must
// all match.
type AdminAuditParams struct {
	// ActorID is the id of a key.
	ActorID string
	// EventType is such as "customer.updated".
	EventType string
	// TargetID is what was acted on: a customer, key, worker or workload.
	TargetID string
	// CustomerID is the customer that the action concerns.
	CustomerID string
	// Since is inclusive, Until exclusive.
	Since, Until *time.Time
	// Order is by time; empty: the newest first.
	Order Order
}

// AdminAudit yields what administrators did. Needs an admin key.
func (c *Client) AdminAudit(ctx context.Context, p AdminAuditParams) iter.Seq2[AdminEvent, error] {
	q := client.ListAdminAuditParams{
		ActorID: given(p.ActorID), EventType: given(client.AdminAction(p.EventType)), TargetID: given(p.TargetID),
		CustomerID: given(p.CustomerID), Since: p.Since, Until: p.Until, Order: given(client.Order(p.Order)),
		Limit: new(pageSize),
	}
	return pages[AdminEvent](ctx, "events", nil, func(cursor *string) (*http.Response, error) {
		at := q
		at.Cursor = cursor
		return c.api.ListAdminAudit(ctx, &at)
	})
}

// given returns a pointer to v; nil if v is empty.
func given[T ~string](v T) *T {
	if v == "" {
		return nil
	}
	return &v
}
