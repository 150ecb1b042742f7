package bootstrap

import (
	"context"
	"log/slog"

	"github.com/niyanta/niyanta/adapters/postgres"
)

// Migration is the state of one migration.
type Migration = postgres.Migration

// MigrateUp brings the configured database to the newest version and returns how many migrations were applied.
func MigrateUp(ctx context.Context, cfg Config, log *slog.Logger) (int, error) {
	return postgres.MigrateUp(ctx, cfg.PostgresURL, log)
}

// MigrateDown takes back the newest migration, with the data it holds, and returns its version; 0 if there is none.
func MigrateDown(ctx context.Context, cfg Config, log *slog.Logger) (int64, error) {
	return postgres.MigrateDown(ctx, cfg.PostgresURL, log)
}

// MigrateStatus lists the migrations, oldest first.
func MigrateStatus(ctx context.Context, cfg Config, log *slog.Logger) ([]Migration, error) {
	return postgres.MigrateStatus(ctx, cfg.PostgresURL, log)
}
