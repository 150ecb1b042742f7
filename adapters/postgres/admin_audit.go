package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type adminAudit struct{ s *Store }

var (
	adminAuditTable = table[domain.AdminEvent]{"admin_audit", []column[domain.AdminEvent]{
		bigint("event_id", func(e *domain.AdminEvent) *int64 { return &e.ID }),
		instant("at", func(e *domain.AdminEvent) *time.Time { return &e.At }),
		text("key_id", func(e *domain.AdminEvent) *domain.KeyID { return &e.By.KeyID }),
		text("key_name", func(e *domain.AdminEvent) *string { return &e.By.KeyName }),
		text("address", func(e *domain.AdminEvent) *string { return &e.By.Address }),
		text("forwarded_for", func(e *domain.AdminEvent) *string { return &e.By.ForwardedFor }),
		text("request_id", func(e *domain.AdminEvent) *string { return &e.By.RequestID }),
		text("action", func(e *domain.AdminEvent) *domain.AdminAction { return &e.Action }),
		text("target_kind", func(e *domain.AdminEvent) *domain.TargetKind { return &e.Target.Kind }),
		text("target_id", func(e *domain.AdminEvent) *string { return &e.Target.ID }),
		text("customer_id", func(e *domain.AdminEvent) *domain.CustomerID { return &e.CustomerID }),
		text("before", func(e *domain.AdminEvent) *domain.JSON { return &e.Before }),
		text("after", func(e *domain.AdminEvent) *domain.JSON { return &e.After }),
	}}
	newAdminAudit    = adminAuditTable.without("event_id") // the database gives the id
	insertAdminAudit = newAdminAudit.insert()
	selectAdminAudit = "SELECT " + adminAuditTable.names("a") + " FROM admin_audit a"
)

// queueActs queues the inserts of actions of administrators, those that are any. It must come last
// before commit: from here to the commit, transactions with such actions take turns, so that their
// ids have the order of the commits. There are few of them.
func (t *tx) queueActs(acts ...domain.AdminEvent) {
	acts = slices.DeleteFunc(acts, func(e domain.AdminEvent) bool { return e.Action == "" })
	if len(acts) > 0 {
		t.queue("SELECT pg_advisory_xact_lock(hashtextextended('niyanta.admin_audit', 0))")
		writeRows(t, newAdminAudit, insertAdminAudit, pointers(acts))
		t.wrote = append(t.wrote, "")
	}
}

// Record implements ports.AdminAuditStore.
func (a adminAudit) Record(ctx context.Context, events []domain.AdminEvent) error {
	_, err := inTx(ctx, a.s, a.s.pool, func(ctx context.Context, t *tx) (struct{}, error) {
		if err := t.read(ctx); err != nil {
			return struct{}{}, err
		}
		t.queueActs(each(events, func(e domain.AdminEvent) domain.AdminEvent {
			e.At = t.now
			return e
		})...)
		return struct{}{}, t.commit(ctx)
	})
	return err
}

// List implements ports.AdminAuditStore.
func (a adminAudit) List(ctx context.Context, q ports.AdminAuditQuery) ([]domain.AdminEvent, error) {
	behind, direction := "a.event_id < $1::bigint", "DESC"
	if q.Ascending {
		behind, direction = "a.event_id > $1::bigint", "ASC"
	}
	where, args := " WHERE ($1::bigint = 0 OR "+behind+")", []any{q.After}
	add := func(condition string, set bool, arg any) {
		if set {
			args = append(args, arg)
			where += fmt.Sprintf(" AND "+condition, len(args))
		}
	}
	add("a.key_id = $%d::text", q.KeyID != "", string(q.KeyID))
	add("a.action = $%d::text", q.Action != "", string(q.Action))
	add("a.target_id = $%d::text", q.TargetID != "", q.TargetID)
	if q.Customer != nil {
		add("a.customer_id = $%d::text", true, string(*q.Customer))
	}
	add("a.at >= $%d::timestamptz", !q.Since.IsZero(), q.Since)
	add("a.at < $%d::timestamptz", !q.Until.IsZero(), q.Until)
	args = append(args, q.Limit)
	return longHistory(ctx, a.s, "", adminAuditTable.scan, selectAdminAudit+where+
		fmt.Sprintf(" ORDER BY a.event_id "+direction+" LIMIT $%d::bigint", len(args)), args...)
}
