package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// undefinedTable is the SQLSTATE of a statement about a table that doesn't exist.
const undefinedTable = "42P01"

// Advice says what an operator must change before err can go away. It is empty for errors that
// may go away by themselves: a server that is starting, failing over or full.
func Advice(err error) string {
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) || errors.Is(err, errURL) {
		return "the URL is not valid; it looks like postgres://user:password@host:5432/database"
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return ""
	}
	switch pg.Code {
	case "28P01":
		return pg.Message + "; check the user and the password"
	case "28000":
		return "the server refuses this user: " + pg.Message
	case "3D000":
		return pg.Message + "; create it, or name another one"
	case "42501":
		return pg.Message + "; grant the user the right, or name another one"
	case "3F000":
		return "the search path names no schema that exists"
	}
	return ""
}

// ErrSchemaMissing means that the database lacks migrations that this program needs.
var ErrSchemaMissing = errors.New("the schema is missing or too old: run niyanta migrate up")

// CheckSchema checks that the database has the schema that this program needs, or a newer one. It
// returns ErrSchemaMissing if it does not, or why the database could not be asked.
func CheckSchema(ctx context.Context, url string) error {
	return ask(ctx, url, schemaOf)
}

// schemaOf is CheckSchema on a connection.
func schemaOf(ctx context.Context, c *pgx.Conn) error {
	var applied int64
	const newest = "SELECT coalesce(max(version_id), 0) FROM niyanta_migrations WHERE is_applied"
	err := c.QueryRow(ctx, newest).Scan(&applied)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == undefinedTable {
		return ErrSchemaMissing
	}
	if err != nil {
		return err
	}
	needed, err := newestMigration()
	if err != nil {
		return err
	}
	if applied < needed {
		return fmt.Errorf("it has version %d, this program needs %d: %w", applied, needed, ErrSchemaMissing)
	}
	return nil
}

// newestMigration returns the version that the program's migrations lead to.
func newestMigration() (int64, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		return 0, errors.Join(errors.New("no migrations"), err)
	}
	number, _, _ := strings.Cut(strings.TrimPrefix(names[len(names)-1], "migrations/"), "_")
	return strconv.ParseInt(number, 10, 64)
}
