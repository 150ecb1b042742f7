//go:build noconsole

package console

// Files returns nil: this build has no console.
func Files() (*FileSet, error) { return nil, nil }
