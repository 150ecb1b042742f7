package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/niyanta/niyanta/adapters/internal/summed"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// temporary begins the names of files that are being written. No key has such a name.
	temporary = ".put-"
	// abandoned is the age of a temporary file that nobody writes any more.
	abandoned = 24 * time.Hour
	// folderTries bounds how often a folder is made anew that others remove because it is empty.
	folderTries = 100
	copyBuffer  = 256 << 10
)

// Files implements ports.BlobStore in a folder. Close it once.
type Files struct{ root *os.Root }

// OpenFiles opens a folder. It makes the folder if it does not exist, and removes what crashed
// processes have left half written.
func OpenFiles(dir string) (*Files, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the folder of the blobs: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of the blobs: %w", err)
	}
	f := &Files{root}
	if err := f.sweep(); err != nil {
		return nil, errors.Join(fmt.Errorf("remove half-written blobs: %w", err), root.Close())
	}
	return f, nil
}

// sweep removes temporary files that nobody writes any more.
func (f *Files) sweep() error {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if info, err := e.Info(); strings.HasPrefix(e.Name(), temporary) && err == nil &&
			time.Since(info.ModTime()) > abandoned {
			if err := f.root.Remove(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// Close closes the folder.
func (f *Files) Close() error { return f.root.Close() }

// Encrypts implements ports.BlobStore. Files are as the file system keeps them.
func (*Files) Encrypts() bool { return false }

// Put implements ports.BlobStore.
func (f *Files) Put(
	ctx context.Context, key string, r io.Reader, under domain.EncryptionKeyID,
) (ports.BlobSum, error) {
	if err := errors.Join(domain.ValidateBlobKey(key), under.Validate("under")); err != nil {
		return ports.BlobSum{}, err
	}
	if under != "" {
		return ports.BlobSum{}, domain.ErrNotEncrypted("a folder does not encrypt with keys", nil)
	}
	s := summed.New(ctx, r)
	name := temporary + rand.Text()
	err := f.write(name, s)
	if s.Err() != nil {
		err = errors.Join(s.Err(), f.remove(name))
		return ports.BlobSum{}, err
	}
	if err == nil {
		err = f.rename(name, key)
	}
	if err != nil {
		return ports.BlobSum{}, errors.Join(unavailable("write", err), f.remove(name))
	}
	return s.Sum(), nil
}

// write writes a file and synchronizes it with the disk.
func (f *Files) write(name string, r io.Reader) error {
	file, err := f.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{file}, r, make([]byte, copyBuffer))
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// rename gives a file its key. Others may remove a folder that was just made, because it is empty.
func (f *Files) rename(name, key string) (err error) {
	for range folderTries {
		if err = f.root.MkdirAll(path.Dir(key), 0o750); err == nil || errors.Is(err, fs.ErrNotExist) {
			if err = f.root.Rename(name, key); err == nil {
				return f.sync(path.Dir(key))
			}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// sync synchronizes a folder and those above it with the disk, so that names that are new in them
// survive a crash of the machine. A folder that is gone meanwhile has no names.
func (f *Files) sync(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it knows no such thing
	}
	for ; ; dir = path.Dir(dir) {
		d, err := f.root.Open(dir)
		if err == nil {
			err = errors.Join(d.Sync(), d.Close())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if dir == "." {
			return nil
		}
	}
}

// remove removes a file, if there is one.
func (f *Files) remove(name string) error {
	if err := f.root.Remove(name); err != nil && !missing(err) {
		return unavailable("remove", err)
	}
	return nil
}

// Get implements ports.BlobStore.
func (f *Files) Get(ctx context.Context, key string) (io.ReadCloser, domain.Blob, error) {
	if err := domain.ValidateBlobKey(key); err != nil {
		return nil, domain.Blob{}, err
	}
	if err := ctx.Err(); err != nil {
		return nil, domain.Blob{}, err
	}
	file, err := f.root.Open(key)
	if missing(err) {
		return nil, domain.Blob{}, domain.NotFound("blob")
	}
	if err != nil {
		return nil, domain.Blob{}, unavailable("read", err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, domain.Blob{}, errors.Join(unavailable("read", err), file.Close())
	case !info.Mode().IsRegular():
		return nil, domain.Blob{}, errors.Join(domain.NotFound("blob"), file.Close())
	}
	return reading{ctx, file}, describe(key, info), nil
}

// missing reports whether there is no such file. A file where the key has a folder is none.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) || notFolder(err) }

func describe(key string, info fs.FileInfo) domain.Blob {
	return domain.Blob{Key: key, Size: info.Size(), ModifiedAt: info.ModTime().UTC()}
}

// reading reads a file until its context is over.
type reading struct {
	ctx  context.Context //nolint:containedctx // it belongs to the call that returned it
	file *os.File
}

// Read implements io.Reader.
func (r reading) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.file.Read(p)
}

// Close implements io.Closer.
func (r reading) Close() error { return r.file.Close() }

// Delete implements ports.BlobStore. Folders that have become empty go, too.
func (f *Files) Delete(ctx context.Context, key string) error {
	if err := domain.ValidateBlobKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.remove(key); err != nil {
		return err
	}
	dir := path.Dir(key)
	for ; dir != "."; dir = path.Dir(dir) {
		if f.root.Remove(dir) != nil {
			break // it is not empty, or gone
		}
	}
	if err := f.sync(dir); err != nil {
		return unavailable("remove", err)
	}
	return nil
}

// List implements ports.BlobStore.
func (f *Files) List(ctx context.Context, prefix, after string, limit int) ([]domain.Blob, error) {
	if err := domain.ValidateBlobPrefix(prefix); err != nil {
		return nil, err
	}
	l := listing{f, prefix, after, limit, nil}
	dir := "."
	if i := strings.LastIndexByte(prefix, '/'); i > 0 {
		dir = prefix[:i]
	}
	if err := l.walk(ctx, dir); err != nil {
		return nil, err
	}
	return l.found, nil
}

// listing is a list in the making.
type listing struct {
	*Files

	prefix, after string
	limit         int
	found         []domain.Blob
}

// walk adds what is below a folder. It looks only into folders that may hold some of it.
func (l *listing) walk(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(l.root.FS(), dir)
	if missing(err) {
		return nil
	}
	if err != nil {
		return unavailable("list", err)
	}
	// The name of a folder ends in "/", so that the order is that of whole keys.
	whole := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(whole(a), whole(b)) })
	for _, e := range entries {
		if len(l.found) >= l.limit {
			return nil
		}
		key := strings.TrimPrefix(dir+"/"+whole(e), "./")
		switch {
		case strings.HasPrefix(e.Name(), temporary):
		case e.IsDir() && (strings.HasPrefix(key, l.prefix) || strings.HasPrefix(l.prefix, key)) &&
			(key > l.after || strings.HasPrefix(l.after, key)):
			err = l.walk(ctx, strings.TrimSuffix(key, "/"))
		case !e.IsDir() && strings.HasPrefix(key, l.prefix) && key > l.after:
			err = l.add(key, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// add adds a file, unless it is gone.
func (l *listing) add(key string, e fs.DirEntry) error {
	info, err := e.Info()
	if missing(err) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return unavailable("list", err)
	}
	l.found = append(l.found, describe(key, info))
	return nil
}

// unavailable says what the storage could not do.
func unavailable(what string, err error) error {
	return &domain.Error{Code: domain.CodeUnavailable, Message: "the blob storage cannot " + what, Cause: err}
}
