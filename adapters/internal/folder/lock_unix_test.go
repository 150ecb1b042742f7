//go:build linux || darwin

package folder_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/internal/folder"
)

func TestLock_OfAFolder_IsHeldByOneUntilItIsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	assert.Nil(t, folder.Lock(path), "it does not exist")
	require.NoError(t, os.Mkdir(path, 0o700))
	first := folder.Lock(path)
	require.NotNil(t, first)
	assert.Nil(t, folder.Lock(path))
	require.NoError(t, first.Close())
	second := folder.Lock(path)
	require.NotNil(t, second)
	require.NoError(t, second.Close())
}

func TestLock_OfAFileOrALink_IsNotHeld(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "f"), filepath.Join(dir, "l")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Symlink(dir, link))
	assert.Nil(t, folder.Lock(file))
	assert.Nil(t, folder.Lock(link), "whoever can make a link here must not choose what is locked")
}
