//go:build !noconsole

package console

import (
	"embed"
	"io/fs"
	"sync"
)

// dist is what `make console` builds from the sources in the folder console.
//
//go:embed dist
var dist embed.FS

// Files returns the console's files. They are read once in a process.
func Files() (*FileSet, error) { return files() }

var files = sync.OnceValues(func() (*FileSet, error) {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, err
	}
	return newFileSet(sub)
})
