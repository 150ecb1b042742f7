package bootstrap

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
)

func TestCoordinator_WhenTheDatabaseCannotHeal_FailsAtOnceAndNamesTheVariable(t *testing.T) {
	c := servers.SharedPostgres(t, preparePostgres)
	for name, tc := range map[string]struct {
		url, want string
		env       []string
	}{
		"no such database": {c.URL("nosuch"), `"nosuch" does not exist`, nil},
		"no such user":     {strings.Replace(c.URL("postgres"), "niyanta@", "stranger@", 1), "stranger", nil},
		"no URL":           {"localhost:5432", "it looks like postgres://", nil},
		"no schema": {
			c.URL(c.EmptyDatabase(t)), "run niyanta migrate up", []string{"NIYANTA_MIGRATE_ON_START=false"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := Load(append([]string{"NIYANTA_STORE=postgres", "NIYANTA_POSTGRES_URL=" + tc.url}, tc.env...))
			require.NoError(t, err)
			bounded, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err = NewCoordinator(bounded, cfg, silent)
			require.NoError(t, bounded.Err(), "it does not try again")
			require.ErrorContains(t, err, "NIYANTA_POSTGRES_URL: ")
			assert.ErrorContains(t, err, tc.want)
		})
	}
}

func TestCoordinator_WhenTheSchemaIsThere_NeedsNoMigration(t *testing.T) {
	c := servers.SharedPostgres(t, preparePostgres)
	cfg, err := Load([]string{
		"NIYANTA_STORE=postgres", "NIYANTA_POSTGRES_URL=" + c.URL(c.Database(t)), "NIYANTA_MIGRATE_ON_START=false",
	})
	require.NoError(t, err)
	require.NoError(t, prepareDatabase(t.Context(), cfg, silent))
}

func TestPrepareDatabase_WhenStoppedWhileItWaits_SaysForWhat(t *testing.T) {
	cfg, err := Load([]string{
		"NIYANTA_STORE=postgres", "NIYANTA_POSTGRES_URL=postgres://u:p@127.0.0.1:1/d?sslmode=disable",
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log testfiles.Log
	ended := make(chan error, 1)
	go func() { ended <- prepareDatabase(ctx, cfg, slog.New(slog.NewTextHandler(&log, nil))) }()
	require.Eventually(t, func() bool { return log.Count("preparing the database failed") > 0 }, 30*time.Second,
		time.Millisecond, "the first try")
	stop()
	err = <-ended
	require.ErrorContains(t, err, "stopped while waiting for the database")
	require.ErrorContains(t, err, "NIYANTA_POSTGRES_URL")
	require.ErrorContains(t, err, "connection refused")
}
