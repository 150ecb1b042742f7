package blob_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/blob"
	"github.com/niyanta/niyanta/core/domain"
)

func openFiles(t *testing.T, dir string) *blob.Files {
	t.Helper()
	f, err := blob.OpenFiles(dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// names returns what a folder has, at any depth.
func names(t *testing.T, dir string) (found []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if name, _ := filepath.Rel(dir, path); name != "." {
			found = append(found, filepath.ToSlash(name))
		}
		return err
	}))
	return found
}

func TestFiles_WhenAProcessCrashedWhileWriting_RemoveWhatIsOldOfIt(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{".put-old": 25 * time.Hour, ".put-new": time.Hour} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte("half"), 0o600))
		require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(-age)))
	}
	f := openFiles(t, dir)
	assert.Equal(t, []string{".put-new"}, names(t, dir), "another process may be writing the new one")
	all, err := f.List(t.Context(), "", "", 10)
	require.NoError(t, err)
	assert.Empty(t, all)
}

func TestFiles_WhenValuesAreDeleted_LeaveNoFolders(t *testing.T) {
	dir := t.TempDir()
	f := openFiles(t, dir)
	for _, key := range []string{"a/b/c", "a/d"} {
		_, err := f.Put(t.Context(), key, strings.NewReader("x"), "")
		require.NoError(t, err)
	}
	require.NoError(t, f.Delete(t.Context(), "a/b/c"))
	assert.Equal(t, []string{"a", "a/d"}, names(t, dir))
	require.NoError(t, f.Delete(t.Context(), "a/d"))
	assert.Empty(t, names(t, dir))
}

func TestFiles_WhenALinkLeavesTheFolder_DoNotFollowIt(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link")))
	f := openFiles(t, dir)
	_, _, err := f.Get(t.Context(), "link/secret")
	require.Error(t, err)
	_, err = f.Put(t.Context(), "link/new", strings.NewReader("x"), "")
	require.Error(t, err)
	require.Error(t, f.Delete(t.Context(), "link/secret"))
	assert.Equal(t, []string{"secret"}, names(t, outside))
	all, err := f.List(t.Context(), "", "", 10)
	require.NoError(t, err)
	assert.Empty(t, all)
}

func TestFiles_WhenTheFolderCannotBeWritten_SayThatItIsUnavailable(t *testing.T) {
	dir := t.TempDir()
	f := openFiles(t, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), nil, 0o600))
	_, err := f.Put(t.Context(), "a/b", strings.NewReader("x"), "")
	assert.True(t, domain.IsCode(err, domain.CodeUnavailable), err)
	assert.Equal(t, []string{"a"}, names(t, dir), "nothing half-written stays")
}
