package dear_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/dear"
)

func TestSome_OfTenCases_NotesWhatItLeavesOut(t *testing.T) {
	list := filepath.Join(t.TempDir(), "left.txt")
	t.Setenv("NIYANTA_TEST_LEFT", list)
	cases := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	if dear.Whole() {
		require.Equal(t, cases, dear.Some(t, 4, cases))
		require.NoFileExists(t, list)
		return
	}
	assert.Equal(t, []int{0, 4, 8}, dear.Some(t, 4, cases))
	assert.Equal(t, cases, dear.Some(t, 1, cases))
	t.Run("left out", func(t *testing.T) {
		dear.Skip(t)
		require.Fail(t, "it was to be left out")
	})
	text, err := os.ReadFile(list)
	require.NoError(t, err)
	assert.Equal(t, t.Name()+": 3 of 10 cases\n"+t.Name()+"/left_out: left out\n", string(text))
}
