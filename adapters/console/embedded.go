//go:build !noconsole

package console

import (
	"embed"
	"io/fs"
)

// dist is what `make console` builds from the sources in the folder console.
//
//go:embed dist
var dist embed.FS

// Files returns the console's files.
func Files() (*FileSet, error) {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, err
	}
	return newFileSet(files)
}
