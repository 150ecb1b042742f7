package telemetry_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/telemetry"
)

// counted finds the names of rare events in the source.
var counted = regexp.MustCompile(`\.Count\("([a-z_]+)",|Wake\w+, "(worker_[a-z]+)"`)

func TestMetrics_BeforeARareEvent_HaveItAtZero(t *testing.T) {
	text := scrape(telemetry.NewMetrics())
	found := map[string]bool{}
	for _, root := range []string{"../../core", "../../adapters", "../../bootstrap"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, m := range counted.FindAllStringSubmatch(string(source), -1) {
				found[m[1]+m[2]] = true
			}
			return err
		}))
	}
	require.Greater(t, len(found), 20)
	for name := range found {
		assert.Contains(t, text, `niyanta_events_total{event="`+name+`"} 0`+"\n", "no increase is seen of what begins at 1")
	}
	assert.Equal(t, len(found), strings.Count(text, "\nniyanta_events_total{"), "none that nothing counts")
}
