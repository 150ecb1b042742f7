package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/niyanta/niyanta/adapters/postgres"
)

// migrateTimeout is how long a coordinator waits at its start for a database that does not answer.
const migrateTimeout = time.Minute

// Migration is the state of one migration.
type Migration = postgres.Migration

// MigrateUp brings the configured database to the newest version and returns how many migrations
// were applied.
func MigrateUp(ctx context.Context, cfg Config, log *slog.Logger) (int, error) {
	n, err := postgres.MigrateUp(ctx, cfg.PostgresURL, log)
	return n, explained(err)
}

// MigrateDown reverts the newest migration, with its data, and returns its version. It returns 0 if
// there is none.
func MigrateDown(ctx context.Context, cfg Config, log *slog.Logger) (int64, error) {
	version, err := postgres.MigrateDown(ctx, cfg.PostgresURL, log)
	return version, explained(err)
}

// MigrateStatus lists the migrations, oldest first.
func MigrateStatus(ctx context.Context, cfg Config, log *slog.Logger) ([]Migration, error) {
	found, err := postgres.MigrateStatus(ctx, cfg.PostgresURL, log)
	return found, explained(err)
}

// explainDatabase adds to an error of the database the variable that must be corrected. permanent
// reports whether trying again is pointless until the variable or the database has changed.
func explainDatabase(err error) (permanent bool, explained error) {
	advice := postgres.Advice(err)
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, postgres.ErrSchemaMissing):
		return true, fmt.Errorf("%sPOSTGRES_URL: %w", Prefix, err)
	case advice != "":
		return true, fmt.Errorf("%sPOSTGRES_URL: %s", Prefix, advice)
	}
	return false, fmt.Errorf("%sPOSTGRES_URL: %w", Prefix, err)
}

func explained(err error) error {
	_, err = explainDatabase(err)
	return err
}

// prepareDatabase migrates the database, or checks that it is migrated. It waits for a database
// that does not answer, because both may have been started together. It fails at once on an error
// that cannot heal by itself.
func prepareDatabase(ctx context.Context, cfg Config, log *slog.Logger) error {
	trouble := trouble{what: "preparing the database", log: log.With("tries_for", migrateTimeout.String())}
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		var err error
		if cfg.MigrateOnStart {
			_, err = postgres.MigrateUp(ctx, cfg.PostgresURL, log)
		} else {
			err = postgres.CheckSchema(ctx, cfg.PostgresURL)
		}
		permanent, err := explainDatabase(err)
		if permanent {
			return struct{}{}, backoff.Permanent(err)
		}
		if ctx.Err() == nil {
			last = err
		}
		trouble.note(err)
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(migrateTimeout), backoff.WithBackOff(backoff.NewConstantBackOff(time.Second)))
	if ctx.Err() != nil && last != nil {
		return fmt.Errorf("stopped while waiting for the database: %w", last)
	}
	return err
}
