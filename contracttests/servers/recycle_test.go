package servers_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
)

func TestMain(m *testing.M) { os.Exit(servers.Run(m, nil)) }

func prepare(url string) error {
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(context.Background(), `CREATE TABLE kept (id bigint GENERATED ALWAYS AS IDENTITY, name text);
INSERT INTO kept (name) VALUES ('a'), ('b');
CREATE TABLE empty (id bigserial, name text)`, pgx.QueryExecModeSimpleProtocol)
	return errors.Join(err, conn.Close(context.Background()))
}

func TestDatabase_AfterAnotherTest_IsLikeTheTemplate(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	names := map[string]bool{}
	for _, do := range []string{
		"DELETE FROM kept; INSERT INTO kept (name) VALUES ('c'); INSERT INTO empty (name) VALUES ('d')",
		"INSERT INTO empty (name) SELECT repeat('x', 1000) FROM generate_series(1, 1000)",
		"UPDATE kept SET name = 'c'",
		"INSERT INTO empty (name) VALUES ('d'); ANALYZE",
		"ALTER TABLE kept ADD more text",
		"DROP TABLE empty",
		"CREATE INDEX ON empty (name)",
		"CREATE FUNCTION one() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
		"SELECT 1",
	} {
		t.Run(do, func(t *testing.T) {
			name := c.Database(t)
			assert.False(t, names[name], "a name is given out once")
			names[name] = true
			conn, err := pgx.Connect(t.Context(), c.SocketURL(name))
			require.NoError(t, err) // it stays open beyond the test
			var has string
			require.NoError(t, conn.QueryRow(t.Context(), `SELECT concat_ws(' ', (SELECT string_agg(concat(k.*), '' ORDER BY id)
 FROM kept k), nextval('kept_id_seq'), nextval('empty_id_seq'), (SELECT count(*) FROM empty),
 (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
 (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
 (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
  AND reltuples >= 0))`).Scan(&has))
			assert.Equal(t, "(1,a)(2,b) 3 1 0 4 0 0", has)
			_, err = conn.Exec(t.Context(), do, pgx.QueryExecModeSimpleProtocol)
			require.NoError(t, err)
		})
	}
}
