package postgres_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/dear"
	"github.com/niyanta/niyanta/contracttests/previous"
)

// fillsEveryTable is the case that first has the suite's own furniture put something into every table
// with rows of customers. The furniture of the previous version knows no tables that are newer.
const fillsEveryTable = "a_deletion_leaves_nothing_and_touches_nobody_else"

// Coordinators of the previous version go on while new ones run, on the schema of the new ones.
func TestPrevious_OnThisSchema_KeepsItsContracts(t *testing.T) {
	dear.Skip(t)
	source := previous.Source(t)
	dir := filepath.Join(source, "adapters", "postgres", "migrations")
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.CopyFS(dir, os.DirFS("migrations")))
	suite := exec.Command("go", "test", "-trimpath", "-buildvcs=false", "-count=1", "-timeout", "30m",
		"-run", "TestStoresKeepTheirContracts$", "-skip", "/ErasureStore/"+fillsEveryTable, "./adapters/postgres")
	suite.Dir = source
	out, err := suite.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// A database that has run a migration never runs it again, and never runs one below its newest.
func TestMigrations_OfThePreviousVersion_StayAsTheyAre(t *testing.T) {
	before := filepath.Join(previous.Source(t, "adapters/postgres/migrations"), "adapters", "postgres", "migrations")
	assert.Empty(t, changedMigrations(t, before, "migrations"))
}

func TestMigrations_WhenOneIsChangedRemovedOrInserted_AreRefused(t *testing.T) {
	before := filepath.Join(previous.Source(t, "adapters/postgres/migrations"), "adapters", "postgres", "migrations")
	for name, harm := range map[string]func(dir string) error{
		"0001_init.sql is changed": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "0001_init.sql"), []byte("-- +goose Up"), 0o600)
		},
		"0002_lanes_by_priority.sql is gone": func(dir string) error {
			return os.Remove(filepath.Join(dir, "0002_lanes_by_priority.sql"))
		},
		"0011_inserted.sql is below 0033_minutes.sql, which databases have run": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "0011_inserted.sql"), []byte("-- +goose Up"), 0o600)
		},
	} {
		now := t.TempDir()
		require.NoError(t, os.CopyFS(now, os.DirFS("migrations")))
		require.NoError(t, harm(now))
		assert.Equal(t, []string{name}, changedMigrations(t, before, now))
	}
}

// changedMigrations lists the migrations that a database of the version before cannot follow.
func changedMigrations(t *testing.T, before, now string) (wrong []string) {
	t.Helper()
	old, err := os.ReadDir(before)
	require.NoError(t, err)
	require.NotEmpty(t, old)
	known := map[string]bool{}
	for _, m := range old { // in the order of their names
		known[m.Name()] = true
		was, err := os.ReadFile(filepath.Join(before, m.Name()))
		require.NoError(t, err)
		is, err := os.ReadFile(filepath.Join(now, m.Name()))
		switch {
		case os.IsNotExist(err):
			wrong = append(wrong, m.Name()+" is gone")
		case string(is) != string(was):
			wrong = append(wrong, m.Name()+" is changed")
		}
	}
	newest := old[len(old)-1].Name()
	all, err := os.ReadDir(now)
	require.NoError(t, err)
	for _, m := range all {
		if !known[m.Name()] && m.Name() < newest {
			wrong = append(wrong, m.Name()+" is below "+newest+", which databases have run")
		}
	}
	return wrong
}
