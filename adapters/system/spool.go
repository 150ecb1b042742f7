package system

import (
	"errors"
	"io"
	"os"
	"runtime"

	"github.com/niyanta/niyanta/core/ports"
)

// Spool implements ports.Spool in a folder. Where the system can, a file has no name, so that a process
// that dies leaves nothing behind.
type Spool struct {
	// Folder is where the files are. Empty: the folder for temporary files.
	Folder string
}

// Create implements ports.Spool.
func (s Spool) Create() (ports.SpoolFile, error) {
	f, err := os.CreateTemp(s.Folder, "niyanta-value-*")
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" { // which does not remove an open file
		if err := os.Remove(f.Name()); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return &spoolFile{f: f}, nil
}

type spoolFile struct {
	f *os.File
	n int64
}

// Write implements io.Writer.
func (s *spoolFile) Write(p []byte) (int, error) {
	n, err := s.f.Write(p)
	s.n += int64(n)
	return n, err
}

// Body implements ports.SpoolFile.
func (s *spoolFile) Body() *ports.Body {
	return &ports.Body{Size: s.n, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(s.f, 0, s.n)), nil
	}}
}

// Close implements ports.SpoolFile.
func (s *spoolFile) Close() error {
	err := s.f.Close()
	if runtime.GOOS == "windows" {
		err = errors.Join(err, os.Remove(s.f.Name()))
	}
	return err
}
