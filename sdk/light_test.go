package niyanta_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// user is a program that uses the SDK as a client and as a worker, over HTTP.
const user = `package main

import (
	"context"

	niyanta "github.com/niyanta/niyanta/sdk"
)

var double = niyanta.Define[int, int, int]("double")

func main() {
	options := niyanta.WorkerOptions{URL: "http://127.0.0.1:8080", Key: "key"}
	if err := niyanta.Supervise(options); err != nil {
		panic(err)
	}
	worker := niyanta.NewWorker(options)
	double.Handle(worker, func(_ context.Context, t *niyanta.Task[int, int]) (int, error) { return 2 * t.Input(), nil })
	client, err := niyanta.NewClient(options.URL, "key")
	if err != nil {
		panic(err)
	}
	if _, err := double.Submit(context.Background(), client, 21); err != nil {
		panic(err)
	}
	if err := worker.RunUntilSignal(context.Background()); err != nil {
		panic(err)
	}
}
`

// heavy are modules that only servers need: databases, buses, routers, telemetry, command lines.
var heavy = []string{
	"github.com/jackc/", "github.com/nats-io/", "github.com/redis/", "github.com/go-redis/", "github.com/go-chi/",
	"github.com/getkin/", "github.com/prometheus/", "go.opentelemetry.io/", "google.golang.org/", "github.com/rs/zerolog",
	"github.com/pressly/", "github.com/spf13/", "github.com/klauspost/", "github.com/google/wire", "github.com/caarlos0/",
}

func TestImport_InAModuleOfItsOwn_BringsNoServers(t *testing.T) {
	command := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", args, out)
		return string(out)
	}
	root := strings.TrimSpace(command(".", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/niyanta/niyanta"))
	dir := t.TempDir()
	sums, err := os.ReadFile(filepath.Join(root, "go.sum")) // what is needed is known, and the rest is tidied away
	require.NoError(t, err)
	for name, content := range map[string]string{
		"main.go": user, "go.sum": string(sums),
		"go.mod": "module example.com/user\n\ngo 1.26\n\nrequire github.com/niyanta/niyanta v0.0.0\n\n" +
			"replace github.com/niyanta/niyanta => " + root + "\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	command(dir, "go", "mod", "tidy")
	command(dir, "go", "build", "-o", "user", ".")
	for what, text := range map[string]string{
		"go.mod":     command(dir, "cat", "go.mod"),
		"go.sum":     command(dir, "cat", "go.sum"),
		"the binary": command(dir, "go", "version", "-m", "user") + command(dir, "go", "list", "-deps", "."),
	} {
		assert.Contains(t, text, "github.com/google/uuid", what) // it is read as it should be
		for _, module := range heavy {
			assert.NotContains(t, text, module, what)
		}
	}
}
