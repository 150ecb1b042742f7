package previous

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSource_OfTheCommit_WritesItsFiles(t *testing.T) {
	dir := Source(t, "go.mod", "adapters/postgres/migrations")
	assert.FileExists(t, filepath.Join(dir, "go.mod"))
	assert.FileExists(t, filepath.Join(dir, "adapters", "postgres", "migrations", "0001_init.sql"))
	assert.NoDirExists(t, filepath.Join(dir, "core"), "only what was asked for")
}

func TestExtract_WhenTheHistoryIsShallow_SaysWhatToDo(t *testing.T) {
	clone := filepath.Join(t.TempDir(), "clone")
	out, err := exec.Command("git", "clone", "-q", "--depth", "1", "file://"+absolute(t), clone).CombinedOutput()
	require.NoError(t, err, string(out))
	err = extract(clone, Commit(), t.TempDir())
	require.ErrorContains(t, err, "git fetch --unshallow")
}

func absolute(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(root())
	require.NoError(t, err)
	return dir
}
