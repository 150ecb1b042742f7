package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// savedContext is an address, a key and certificates under a name.
type savedContext struct {
	URL    string `json:"url"`
	APIKey string `json:"api_key"`
	// The paths of the files of TLS connections.
	CAFile   string `json:"ca_file,omitempty"`
	CertFile string `json:"cert_file,omitempty"`
	KeyFile  string `json:"key_file,omitempty"`
}

// contextStore is the file that keeps contexts.
type contextStore struct {
	path string // empty if neither XDG_CONFIG_HOME nor HOME is set

	Current  string                  `json:"current,omitempty"`
	Contexts map[string]savedContext `json:"contexts"`
}

// contextName matches names of contexts. They need no quotes in a shell.
var contextName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// openContexts reads the file of contexts.
func openContexts(getenv func(string) string) (*contextStore, error) {
	s := &contextStore{path: xdgPath(getenv, "XDG_CONFIG_HOME", ".config", "contexts.json"),
		Contexts: map[string]savedContext{}}
	if s.path == "" {
		return s, nil
	}
	b, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("the contexts: %w", err)
	}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("the contexts: %s is not as niyanta wrote it: %w; correct or remove it", s.path, err)
	}
	return s, nil
}

// save replaces the file.
func (s *contextStore) save() error {
	if s.path == "" {
		return errors.New("there is no place to keep contexts: neither XDG_CONFIG_HOME nor HOME is set")
	}
	return writeSecretly(s.path, s)
}

// get returns a context by its name.
func (s *contextStore) get(name string) (savedContext, error) {
	if saved, known := s.Contexts[name]; known {
		return saved, nil
	}
	if len(s.Contexts) == 0 {
		return savedContext{}, usage(
			fmt.Errorf("there is no context %q, nor any other; niyanta context add makes one", name))
	}
	return savedContext{}, usage(fmt.Errorf("there is no context %q; there are %s", name, strings.Join(s.names(), ", ")))
}

func (s *contextStore) names() []string {
	names := make([]string, 0, len(s.Contexts))
	for name := range s.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// readableByOthers reports whether another user of this machine may read the file, and with it the
// keys.
func (s *contextStore) readableByOthers() bool {
	info, err := os.Stat(s.path)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0
}

// xdgPath returns the path of a file of this program, in the directory that an XDG variable names
// or in the usual one under HOME. It is empty if neither variable is set.
func xdgPath(getenv func(string) string, variable, usual, name string) string {
	dir := getenv(variable)
	if !filepath.IsAbs(dir) { // the XDG specification says to ignore relative paths
		home := getenv("HOME")
		if home == "" {
			return ""
		}
		dir = filepath.Join(home, usual)
	}
	return filepath.Join(dir, "niyanta", name)
}
