package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Inspection is what a database says of itself that matters to an operator.
type Inspection struct {
	// Standby reports whether it is a replica, which takes no writes.
	Standby bool
	// ReadOnly reports whether transactions of this user only read unless they ask for more.
	ReadOnly bool
	// Unsafe lists settings with which the server forgets, in a crash, what it has acknowledged.
	Unsafe []string
	// Connections is how many connections the server has for users like this one.
	Connections int
	// Schema is ErrSchemaMissing, perhaps wrapped, or nil.
	Schema error
}

// forgetful lists settings and the value at which a crash costs acknowledged writes.
var forgetful = []string{"fsync", "full_page_writes", "synchronous_commit"}

// Inspect asks a database about itself. It changes nothing. It asks the primary, if the URL leads to
// one.
func Inspect(ctx context.Context, url string) (Inspection, error) {
	var found Inspection
	err := ask(ctx, url, found.fill)
	return found, err
}

func (found *Inspection) fill(ctx context.Context, c *pgx.Conn) error {
	const settings = `SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean,
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
  array(SELECT name FROM pg_settings WHERE name = ANY($1) AND setting = 'off' ORDER BY name)`
	err := c.QueryRow(ctx, settings, forgetful).Scan(&found.Standby, &found.ReadOnly, &found.Connections, &found.Unsafe)
	if err != nil {
		return fmt.Errorf("ask for settings: %w", err)
	}
	found.Schema = schemaOf(ctx, c)
	return nil
}

// Connections returns how many connections a store of these options may open.
func (o Options) Connections() int {
	o.complete()
	return o.MaxConns + o.ReadConns + leaseConns + 1 // one listens for notifications
}
