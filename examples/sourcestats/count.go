package sourcestats

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Stats are the counts of one package or of all.
type Stats struct {
	Files     int `json:"files"`
	Lines     int `json:"lines"`
	Functions int `json:"functions"`
	Imports   int `json:"imports"`
	// Broken counts files that do not parse; the standard library's tree has some, as test data.
	Broken int `json:"broken,omitempty"`
}

func (s *Stats) add(o Stats) {
	s.Files += o.Files
	s.Lines += o.Lines
	s.Functions += o.Functions
	s.Imports += o.Imports
	s.Broken += o.Broken
}

// Files lists the Go files below root in a fixed order, as slash-separated paths relative to it.
func Files(root string) ([]string, error) {
	var files []string
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Type().IsRegular() && strings.HasSuffix(name, ".go") {
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("walk %s: %w", root, err)
	}
	return files, nil
}

// countFile counts one file.
func countFile(root, name string) (Stats, error) {
	src, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return Stats{}, err
	}
	s := Stats{Files: 1, Lines: strings.Count(string(src), "\n")}
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
	if err != nil {
		s.Broken = 1
		return s, nil // what does not parse still has lines
	}
	s.Imports = len(f.Imports)
	for _, d := range f.Decls {
		if _, ok := d.(*ast.FuncDecl); ok {
			s.Functions++
		}
	}
	return s, nil
}

// Count counts all files below root per package directory.
func Count(root string) (map[string]Stats, error) {
	files, err := Files(root)
	if err != nil {
		return nil, err
	}
	packages := map[string]Stats{}
	for _, name := range files {
		if err := countInto(packages, root, name); err != nil {
			return nil, err
		}
	}
	return packages, nil
}

func countInto(packages map[string]Stats, root, name string) error {
	s, err := countFile(root, name)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	sum := packages[dir]
	sum.add(s)
	packages[dir] = sum
	return nil
}

// Total sums the packages.
func Total(packages map[string]Stats) Stats {
	var t Stats
	for _, s := range packages {
		t.add(s)
	}
	return t
}
