package niyanta_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// devServer is "niyanta dev" without workers, in a process of its own. These tests must not import
// what a server consists of: go mod tidy counts what the tests of the SDK import, for everybody who
// imports the SDK.
type devServer struct {
	URL, CustomerKey, AdminKey, WorkerKey string

	cmd *exec.Cmd
	log bytes.Buffer
}

// serverDir is where buildServer has put the binary; empty: it has not been built.
var serverDir string

var buildServer = sync.OnceValues(func() (path string, err error) {
	dir, err := os.MkdirTemp("", "niyanta-sdk-")
	if err != nil {
		return "", err
	}
	serverDir = dir
	path = filepath.Join(dir, "niyanta")
	out, err := exec.Command("go", "build", "-o", path, "github.com/niyanta/niyanta/cmd/niyanta").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// exampleServer starts a server. Close it.
func exampleServer() *devServer {
	s, err := startServer()
	if err != nil {
		panic(err)
	}
	return s
}

func startServer() (*devServer, error) {
	path, err := buildServer()
	if err != nil {
		return nil, err
	}
	s := &devServer{cmd: exec.Command(path, "dev", "--addr", "127.0.0.1:0", "--workers", "0")}
	s.cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+filepath.Join(filepath.Dir(path), "state"))
	s.cmd.Stderr = &s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	fields := map[string]*string{
		"url": &s.URL, "customer key": &s.CustomerKey, "admin key": &s.AdminKey, "worker key": &s.WorkerKey,
	}
	lines := bufio.NewScanner(out)
	for left := len(fields); left > 0; {
		if !lines.Scan() {
			return nil, fmt.Errorf("the server did not start: %w\n%s", s.cmd.Wait(), &s.log)
		}
		name, value, _ := strings.Cut(lines.Text(), ": ")
		if field := fields[name]; field != nil {
			*field = strings.TrimSpace(value)
			left--
		}
	}
	go func() {
		for lines.Scan() { // it must not block on what nobody reads
		}
	}()
	return s, nil
}

// Close ends the server and waits for it.
func (s *devServer) Close() error {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	return s.cmd.Wait()
}
