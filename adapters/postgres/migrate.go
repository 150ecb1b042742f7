package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration is the state of one migration.
type Migration struct {
	Version int64
	Name    string
	// AppliedAt is zero when the migration is not applied.
	AppliedAt time.Time
}

// MigrateUp brings the schema to the newest version, and returns how many migrations were
// applied. Any number of processes may call it at once, also on an empty database: a lock in a
// table lets one work at a time. Poolers carry such a lock.
func MigrateUp(ctx context.Context, url string, log *slog.Logger) (int, error) {
	n := 0
	err := migrate(ctx, url, log, func(p *goose.Provider) error {
		done, err := p.Up(ctx)
		n = len(done)
		return err
	})
	return n, err
}

// MigrateDown reverts the newest migration, and deletes the data that it holds. It returns the
// version, or 0 if there is none.
func MigrateDown(ctx context.Context, url string, log *slog.Logger) (int64, error) {
	var version int64
	err := migrate(ctx, url, log, func(p *goose.Provider) error {
		done, err := p.Down(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return nil
		}
		if done != nil {
			version = done.Source.Version
		}
		return err
	})
	return version, err
}

// MigrateStatus lists the migrations, oldest first.
func MigrateStatus(ctx context.Context, url string, log *slog.Logger) ([]Migration, error) {
	var out []Migration
	err := migrate(ctx, url, log, func(p *goose.Provider) error {
		status, err := p.Status(ctx)
		for _, st := range status {
			out = append(out, Migration{Version: st.Source.Version, Name: st.Source.Path, AppliedAt: st.AppliedAt})
		}
		return err
	})
	return out, err
}

// migrateTries bounds the tries. Two processes may create the table of the lock at the same
// moment, and one of them fails.
const migrateTries = 10

func migrate(ctx context.Context, url string, log *slog.Logger, f func(*goose.Provider) error) error {
	db, err := openSQL(url)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // nothing is left to lose
	for try := 1; ; try++ {
		p, err := provider(db, log)
		if err == nil {
			err = f(p)
		}
		var pg *pgconn.PgError
		racing := errors.As(err, &pg) && (pg.Code == uniqueViolation || pg.Code == "42P07" || pg.Code == "XX000")
		if !racing || try == migrateTries {
			if err != nil {
				return fmt.Errorf("migrate the database: %w", err)
			}
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func openSQL(url string) (*sql.DB, error) {
	cfg, err := poolConfig(url, 2)
	if err != nil {
		return nil, err
	}
	cc := cfg.ConnConfig
	onPrimary(cc)
	// A migration may run for long, and its statements are not worth preparing.
	delete(cc.RuntimeParams, "statement_timeout")
	delete(cc.RuntimeParams, "idle_in_transaction_session_timeout")
	if !plain(cc) {
		cc.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	return stdlib.OpenDB(*cc), nil
}

func provider(db *sql.DB, log *slog.Logger) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	locker, err := lock.NewPostgresTableLocker(
		lock.WithTableName("niyanta_migration_lock"), lock.WithTableLockTimeout(200*time.Millisecond, 1500),
		lock.WithTableUnlockTimeout(200*time.Millisecond, 50))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, dir,
		goose.WithLocker(locker), goose.WithTableName("niyanta_migrations"), goose.WithSlog(log))
}
