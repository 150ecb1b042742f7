//go:build typescript

package openapi_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/bootstrap"
)

// TestTypeScript_ClientOfTheFile_CompilesAndWorks generates a client as a customer would, compiles
// a program that uses it, and runs the program against a coordinator.
func TestTypeScript_ClientOfTheFile_CompilesAndWorks(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	node := func(script string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(ctx, "node", append([]string{script}, args...)...)
		cmd.Dir = filepath.Join("..", "..", "tools", "openapi")
		cmd.Env = append(os.Environ(), "NO_COLOR=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "node %s %s\n%s", script, strings.Join(args, " "), out)
		return string(out)
	}
	node("node_modules/openapi-typescript/bin/cli.js", "../../api/openapi/niyanta-v1.yaml",
		"--default-non-nullable=false", "--output", "build/niyanta.d.ts")
	node("node_modules/typescript/bin/tsc", "--project", ".")

	cfg, err := bootstrap.Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0"})
	require.NoError(t, err)
	d, err := bootstrap.NewDev(ctx, cfg, 1, "test", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.WithoutCancel(ctx))) })
	require.Equal(t, "done\n", node("build/client.js", d.App.URL(), d.CustomerKey, d.AdminKey))
}
