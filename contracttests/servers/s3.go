package servers

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// S3 is a server that speaks S3 and keeps its objects in a folder: versitygw.
type S3 struct {
	dir, path string
	Port      int

	mu     sync.Mutex
	server *process
}

// S3Key and S3Secret are the credentials of the server.
const (
	S3Key    = "niyanta-test"
	S3Secret = "a secret of the tests"
)

// StartS3 starts a server on a free port, with a bucket. It ends with the test. The program is built
// from its module the first time.
func StartS3(tb testing.TB, bucket string) *S3 {
	tb.Helper()
	s := &S3{}
	var err error
	s.dir, err = testfiles.Folder("s3")
	require.NoError(tb, err)
	folders := []string{"data", filepath.Join("data", bucket), "sidecar"}
	for _, path := range folders {
		require.NoError(tb, os.Mkdir(filepath.Join(s.dir, path), 0o700))
	}
	s.path, err = buildS3(s.dir)
	require.NoError(tb, err)
	cred, err := testfiles.Credential()
	require.NoError(tb, err)
	if cred != nil {
		for _, path := range append(folders, filepath.Base(s.path)) {
			require.NoError(tb, os.Chown(filepath.Join(s.dir, path), int(cred.Uid), int(cred.Gid)))
		}
	}
	require.NoError(tb, onFreePort(&s.Port, s.Start))
	tb.Cleanup(func() {
		s.Stop()
		_ = os.RemoveAll(s.dir) // a temporary folder
	})
	return s
}

// buildS3 builds the program, and copies it from the cache of the go command to where the user of
// the servers can read it.
func buildS3(dir string) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.Command("go", "tool", "-n", "versitygw")
	cmd.Dir = filepath.Join(filepath.Dir(here), "..", "..", "tools", "s3")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build the S3 server: %w", err)
	}
	from, err := os.Open(strings.TrimSpace(string(out)))
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "versitygw")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		return "", errors.Join(err, from.Close())
	}
	_, err = io.Copy(to, from)
	return path, errors.Join(err, from.Close(), to.Close())
}

// Start starts a stopped server again, on the same port and with what it kept.
func (s *S3) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	s.server, err = start(s.dir, s.path, "--access", S3Key, "--secret", S3Secret, "--port",
		fmt.Sprintf("127.0.0.1:%d", s.Port), "--quiet", "posix", "--sidecar", filepath.Join(s.dir, "sidecar"),
		filepath.Join(s.dir, "data"))
	if err != nil {
		return err
	}
	return s.server.ready(func() error {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port), time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// Stop kills the server.
func (s *S3) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server.end(syscall.SIGKILL)
}

// Endpoint returns the address of the server.
func (s *S3) Endpoint() string { return fmt.Sprintf("http://127.0.0.1:%d", s.Port) }
