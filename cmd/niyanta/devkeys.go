package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/niyanta/niyanta/bootstrap"
)

// devKeys are the keys of the development server that are kept between its starts.
type devKeys struct {
	CustomerKey string `json:"customer_key"`
	AdminKey    string `json:"admin_key"`
	WorkerKey   string `json:"worker_key"`
}

// devKeyStore is the file that keeps the keys. Keys from the environment are used, but not kept.
type devKeyStore struct {
	path string // empty if neither XDG_STATE_HOME nor HOME is set
	kept devKeys
	// set are the keys that the environment sets.
	set devKeys
}

// openDevKeys reads the kept keys. With fresh it ignores them, so that new ones are made.
func openDevKeys(getenv func(string) string, fresh bool) (*devKeyStore, error) {
	s := &devKeyStore{path: xdgPath(getenv, "XDG_STATE_HOME", filepath.Join(".local", "state"), "dev.json")}
	if fresh || s.path == "" {
		return s, nil
	}
	b, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("the kept keys: %w; make it readable, or say --fresh", err)
	}
	if err := json.Unmarshal(b, &s.kept); err != nil {
		return nil, fmt.Errorf("the kept keys: %s is not JSON: %w; say --fresh to make new ones", s.path, err)
	}
	return s, nil
}

// fill sets each key that the environment does not set to the kept one.
func (s *devKeyStore) fill(c *bootstrap.Config) {
	s.set = devKeys{CustomerKey: c.DevCustomerKey, AdminKey: c.AdminKey}
	if c.DevCustomerKey == "" {
		c.DevCustomerKey = s.kept.CustomerKey
	}
	if c.AdminKey == "" {
		c.AdminKey = s.kept.AdminKey
	}
	if len(c.WorkerKeys) > 0 {
		s.set.WorkerKey = c.WorkerKeys[0]
	} else if s.kept.WorkerKey != "" {
		c.WorkerKeys = []string{s.kept.WorkerKey}
	}
}

// save keeps the keys of a server that has started.
func (s *devKeyStore) save(dev *bootstrap.Dev) error {
	if s.path == "" {
		return errors.New("neither XDG_STATE_HOME nor HOME is set")
	}
	now := s.kept
	for _, k := range []struct {
		set, used string
		kept      *string
	}{
		{s.set.CustomerKey, dev.CustomerKey, &now.CustomerKey},
		{s.set.AdminKey, dev.AdminKey, &now.AdminKey},
		{s.set.WorkerKey, dev.WorkerKey, &now.WorkerKey},
	} {
		if k.set == "" {
			*k.kept = k.used
		}
	}
	if now == s.kept {
		return nil
	}
	return writeSecretly(s.path, now)
}

// writeSecretly replaces a file by v as JSON, atomically. Only its owner may read it.
func writeSecretly(path string, v any) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // with mode 0600
	if err != nil {
		return err
	}
	err = errors.Join(printJSON(f, v, true), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error is returned
	}
	return err
}
