package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
)

func TestPresent_WhenTheDatabaseIsReadOnly_SaysThatItTakesNoWrites(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	db := c.Database(t)
	s := open(t, c.SocketURL(db))
	for range 3 {
		require.NoError(t, s.Present(t.Context(), "coord_a"))
	}
	require.NoError(t, s.Present(t.Context(), "coord_b"))
	c.Exec(t, db, fmt.Sprintf("ALTER DATABASE %q SET default_transaction_read_only = on", db))
	readOnly := open(t, c.SocketURL(db)) // the setting holds for new sessions
	_, err := readOnly.Stores().Customers.List(t.Context(), "", 1)
	require.NoError(t, err, "it answers")
	err = readOnly.Present(t.Context(), "coord_a")
	require.Error(t, err)
	assert.True(t, postgres.NotWritable(err), "%v", err)
	require.NoError(t, s.Present(t.Context(), "coord_a"))
}

func TestPresent_OfCoordinatorsLongGone_IsForgotten(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	db := c.Database(t)
	s := open(t, c.SocketURL(db))
	require.NoError(t, s.Present(t.Context(), "coord_gone"))
	c.Exec(t, db, "UPDATE test_clock SET shift = interval '25 hours'")
	require.NoError(t, s.Present(t.Context(), "coord_here"))
	require.NoError(t, s.Maintain(t.Context()))
	c.Exec(t, db, "DO $$ BEGIN ASSERT (SELECT array_agg(coordinator_id) FROM presence) = ARRAY['coord_here'] ; END $$")
}

func TestNotWritable_TellsADatabaseThatTakesNoWritesFromOneThatIsAway(t *testing.T) {
	for code, want := range map[string]bool{
		"25006": true, "53100": true, "58030": true, "42501": true,
		"57P01": false, "57P03": false, "53300": false, "08006": false, "40001": false,
	} {
		err := &domain.Error{Code: domain.CodeUnavailable, Cause: &pgconn.PgError{Code: code}}
		assert.Equal(t, want, postgres.NotWritable(err), code)
	}
	for _, err := range []error{nil, context.DeadlineExceeded, errors.New("connection refused")} {
		assert.False(t, postgres.NotWritable(err))
	}
}

func TestPresent_WhenTheDatabaseIsAway_ReturnsInTime(t *testing.T) {
	s := open(t, "postgres://u:p@127.0.0.1:1/none")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err := s.Present(ctx, "coord_a")
	require.Error(t, err)
	assert.False(t, postgres.NotWritable(err))
}
