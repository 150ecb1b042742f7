//go:build linux || darwin

package workloads

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each worker that starts sweeps. It must not remove what another one is just making.
func TestScratch_OfWorkersThatStartTogether_IsMadeForEach(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				room, err := newScratchRoom(true)
				if err != nil {
					t.Error(err)
					return
				}
				info, err := os.Stat(room.path)
				if err != nil {
					t.Error(err)
					return
				}
				assert.Equal(t, os.FileMode(0o711), info.Mode().Perm())
				if err := room.close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// Where /run cannot be written to, the locks of the users are beside the scratch directories.
func TestScratch_Swept_LeavesTheLocksOfTheUsers(t *testing.T) {
	parent := t.TempDir()
	locks, old := filepath.Join(parent, usersFolder), filepath.Join(parent, scratchPrefix+"old")
	require.NoError(t, os.Mkdir(locks, 0o700))
	require.NoError(t, os.Mkdir(old, 0o700))
	n, err := sweepScratch(parent)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.NoDirExists(t, old)
	assert.DirExists(t, locks)
}
