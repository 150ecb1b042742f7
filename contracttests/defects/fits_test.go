package defects

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

// apply returns the sources that a defect changes, by path from the root.
func (d defect) apply() (map[string]string, error) {
	out := map[string]string{}
	for _, e := range append([]edit{{d.file, d.old, d.new}}, d.more...) {
		if out[e.file] == "" {
			raw, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, err
			}
			out[e.file] = string(raw)
		}
		if !strings.Contains(out[e.file], e.old) {
			return nil, &os.PathError{Op: "replace " + e.old + " in", Path: e.file, Err: os.ErrNotExist}
		}
		out[e.file] = strings.Replace(out[e.file], e.old, e.new, 1)
	}
	return out, nil
}

// A defect that does not fit the source any more must be adapted.
func TestDefects_EachOne_FitsTheSource(t *testing.T) {
	require.GreaterOrEqual(t, len(defects), 25)
	for _, d := range defects {
		if _, err := d.apply(); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
		assert.NotEmpty(t, d.by, d.name)
	}
}
