package bootstrap

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/contracttests/servers"
)

func memoryStores(*testing.T) contracttests.StoreHarness {
	clock := contracttests.NewClock(time.Now())
	s := memory.NewStore(clock)
	return contracttests.StoreHarness{
		Open:    s.Stores,
		Advance: clock.Advance,
	}
}

// preparePostgres migrates the template of test databases.
func preparePostgres(url string) error {
	_, err := postgres.MigrateUp(context.Background(), url, silent)
	return err
}

// postgresStores gives all sequences one database, which each empties first.
func postgresStores(t *testing.T) func(*testing.T) contracttests.StoreHarness {
	t.Helper()
	c := servers.SharedPostgres(t, preparePostgres)
	db := c.Database(t)
	c.Exec(t, db, servers.SlowClock...)
	return func(t *testing.T) contracttests.StoreHarness {
		t.Helper()
		c.Empty(t, db, "goose_db_version", "leader_lease", "test_clock")
		c.Exec(t, db, "UPDATE test_clock SET shift = '0', began = statement_timestamp()",
			"UPDATE leader_lease SET holder = '', epoch = 0, lease_until = '-infinity'")
		s, err := postgres.Open(t.Context(), postgres.Options{URL: c.SocketURL(db), MaxConns: 2, Log: silent})
		require.NoError(t, err)
		return contracttests.StoreHarness{
			Open:  s.Stores,
			Close: s.Close,
			Advance: func(d time.Duration) {
				c.Exec(t, db, fmt.Sprintf("UPDATE test_clock SET shift = shift + interval '%d microseconds'",
					d.Microseconds()))
			},
		}
	}
}

var sequences = flag.Int("sequences", 30, "number of random sequences of the model test")

func TestStores_OnRandomSequences_PostgresAgreesWithMemory(t *testing.T) {
	require.NoError(t, flag.Set("rapid.checks", strconv.Itoa(*sequences)))
	begin, n := time.Now(), 0
	commands := contracttests.RunModel(t, "postgres", memoryStores, postgresStores(t))
	for _, times := range commands {
		n += times
	}
	summary := fmt.Sprintf("model: %d random sequences, %d commands of %d kinds in %s, PostgreSQL agrees with memory",
		*sequences, n, len(commands), time.Since(begin).Round(time.Second))
	t.Log(summary)
	if path := os.Getenv("NIYANTA_TEST_MODEL_SUMMARY"); path != "" && !t.Failed() {
		require.NoError(t, os.WriteFile(path, []byte(summary+"\n"), 0o600))
	}
}
