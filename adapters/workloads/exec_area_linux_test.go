package workloads

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/niyanta/niyanta/core/domain"
)

// areaOf returns an area that every user may look at.
func areaOf(t *testing.T) *area {
	t.Helper()
	folder, err := os.MkdirTemp("", "area-") //nolint:usetesting // other users pass through it
	require.NoError(t, err)
	require.NoError(t, os.Chmod(folder, 0o755)) //nolint:gosec // other users look at it
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return &area{scratch: folder}
}

// asNobody calls f on a thread that may not read the files of others.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	require.NoError(t, onThreadOfItsOwn(func() error {
		if keep := ^uintptr(0); os.Geteuid() == 0 {
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, 2000060000, keep); errno != 0 {
				return errno
			}
		}
		f()
		return nil
	}))
}

func TestArea_WithAFolderThatCannotBeRead_CannotBeCountedForLong(t *testing.T) {
	a := areaOf(t)
	require.NoError(t, os.Mkdir(filepath.Join(a.scratch, "d"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(a.scratch, "d", "big"), make([]byte, 4<<20), 0o600))
	require.NoError(t, os.Chmod(filepath.Join(a.scratch, "d"), 0o300))
	var errs []error
	asNobody(t, func() {
		for range 2 {
			_, err := a.occupied(1<<30, nil)
			errs = append(errs, err)
			a.hidden = a.hidden.Add(-2 * hiddenGrace)
		}
	})
	require.NoError(t, errs[0], "it may be so for a moment")
	require.ErrorIs(t, errs[1], errHidden)
	require.NoError(t, os.Chmod(filepath.Join(a.scratch, "d"), 0o755)) //nolint:gosec // others read it
	a.hidden = time.Now().Add(-2 * hiddenGrace)
	asNobody(t, func() {
		used, err := a.occupied(1<<30, nil)
		errs = append(errs, err)
		if used < 4<<20 {
			errs = append(errs, fmt.Errorf("%d bytes were counted", used))
		}
	})
	require.NoError(t, errors.Join(errs[2:]...))
	assert.True(t, a.hidden.IsZero())
}

func TestArea_WithHardLinks_CountsAFileOnce(t *testing.T) {
	a := areaOf(t)
	file := filepath.Join(a.scratch, "file")
	require.NoError(t, os.WriteFile(file, make([]byte, 1<<20), 0o600))
	for n := range 100 {
		require.NoError(t, os.Link(file, fmt.Sprint(file, n)))
	}
	used, err := a.occupied(1<<30, nil)
	require.NoError(t, err)
	assert.InDelta(t, 1<<20+100*entrySize, used, 64<<10, "a name takes space, too")
}

func TestArea_WithFoldersNestedWithoutEnd_CannotBeCounted(t *testing.T) {
	a := areaOf(t)
	require.NoError(t, os.MkdirAll(filepath.Join(a.scratch, strings.Repeat("d/", maxDepth)), 0o700))
	_, err := a.occupied(1<<30, nil)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(a.scratch, strings.Repeat("d/", maxDepth+1)), 0o700))
	_, err = a.occupied(1<<30, nil)
	require.ErrorIs(t, err, errTooDeep)
	h := testHost(t, Options{ExecAllow: []string{"sh"}})
	_, err = run(t.Context(), &program{host: h}, limited(t, domain.Amounts{DiskMB: 1024},
		`i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i+1)); done; exec sleep 300`), &recorder{})
	requireRunError(t, err, "resources", false)
	assert.Equal(t, errTooDeep.Error(), err.Error())
}
