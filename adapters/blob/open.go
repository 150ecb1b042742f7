package blob

import (
	"errors"
	"net/url"
	"path/filepath"

	"github.com/niyanta/niyanta/core/ports"
)

// Open opens the storage that a URL names: file:///folder, or
// s3://bucket/prefix?endpoint=https://host:9000&region=eu-central-1&path_style=true&kms_key_id=ID. It
// does not reach out to a server. The function it returns closes the storage.
func Open(location string) (ports.BlobStore, func(), error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, nil, errors.New("it is not a URL")
	}
	if u.Scheme == "s3" {
		s, err := openS3(u)
		if err != nil {
			return nil, nil, err
		}
		return s, func() {}, nil
	}
	if err := Validate(location); err != nil {
		return nil, nil, err
	}
	f, err := OpenFiles(filepath.FromSlash(u.Path))
	if err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close() }, nil // nothing is written through it
}

// Validate checks a URL that Open takes.
func Validate(location string) error {
	u, err := url.Parse(location)
	if err != nil {
		return errors.New("it is not a URL")
	}
	switch u.Scheme {
	case "s3":
		_, err := parseS3(u)
		return err
	case "file":
		if u.Host != "" || u.Path == "" || u.Path == "/" || u.RawQuery != "" {
			return errors.New("a folder looks like file:///var/lib/niyanta/archive")
		}
		return nil
	}
	return errors.New("it must begin with file:// or s3://")
}
