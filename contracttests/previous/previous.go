package previous

import (
	"archive/tar"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

//go:embed commit
var commit string

// Commit returns the commit of the previous version.
func Commit() string { return strings.TrimSpace(commit) }

// Source writes files of the previous version to a temporary folder, and returns the folder. Without
// paths it writes all files.
func Source(tb testing.TB, paths ...string) string {
	tb.Helper()
	dir := tb.TempDir()
	require.NoError(tb, extract(root(), Commit(), dir, paths...))
	return dir
}

// root returns the root of the repository.
func root() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..")
}

// extract writes files of a commit to a folder.
func extract(repository, commit, dir string, paths ...string) error {
	git := func(args ...string) *exec.Cmd {
		return exec.Command("git", append([]string{"-C", repository}, args...)...)
	}
	if out, err := git("cat-file", "-e", commit+"^{commit}").CombinedOutput(); err != nil {
		return fmt.Errorf("the repository does not have commit %s of contracttests/previous/commit, which the tests "+
			"of upgrades build; fetch the whole history with `git fetch --unshallow` (%w: %s)", commit, err, out)
	}
	cmd := git(append([]string{"archive", "--format=tar", commit, "--"}, paths...)...)
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	stream, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = untar(stream, dir)
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return fmt.Errorf("git archive %s: %w: %s", commit, err, &trouble)
	}
	return nil
}

// untar writes the files of an archive to a folder. It reads the archive to its end.
func untar(archive io.Reader, dir string) error {
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, archive)
			return err
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name)) //nolint:gosec // an archive of this repository
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, body, h.FileInfo().Mode().Perm()); err != nil {
			return err
		}
	}
}
