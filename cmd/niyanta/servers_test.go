package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/bootstrap"
)

func TestAddresses_OfARunningServer_SayWhatItListensOn(t *testing.T) {
	for addr, all := range map[string]bool{"127.0.0.1:0": false, ":0": true} {
		cfg, err := bootstrap.Load([]string{"NIYANTA_HTTP_ADDR=" + addr, "NIYANTA_ADMIN_ADDR=127.0.0.1:0"})
		require.NoError(t, err)
		dev, err := bootstrap.NewDev(t.Context(), cfg, 0, "test", slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		text := addresses(dev.App)
		require.NoError(t, dev.Close(context.Background()))
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		require.Len(t, lines, 3, text)
		assert.True(t, strings.HasPrefix(lines[0], "url: http://127.0.0.1:"), lines[0])
		assert.True(t, strings.HasPrefix(lines[1], "admin url: http://127.0.0.1:"), lines[1])
		listed := strings.Split(strings.TrimPrefix(lines[2], "listening on: "), ", ")
		require.Len(t, listed, 2)
		host, _, err := net.SplitHostPort(listed[0])
		require.NoError(t, err)
		assert.Equal(t, all, net.ParseIP(host).IsUnspecified(), text)
	}
}

// TestDev_WithoutAnAddress_ListensOnThisMachineOnly takes the port of the default first: the error
// names the address that was tried.
func TestDev_WithoutAnAddress_ListensOnThisMachineOnly(t *testing.T) {
	t.Setenv("NIYANTA_HTTP_ADDR", "")
	if l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", bootstrap.DevHTTPAddr); err == nil {
		defer func() { _ = l.Close() }()
	}
	var errs bytes.Buffer
	require.Equal(t, exitError, run([]string{"dev"}, strings.NewReader(""), io.Discard, &errs))
	assert.Contains(t, errs.String(), "127.0.0.1:8080")
	assert.True(t, strings.HasPrefix(bootstrap.DevHTTPAddr, "127.0.0.1:"))
}

func TestCoordinator_AtItsDefaults_LogsNoRequests(t *testing.T) {
	c := newFleet(t)
	c.raw(c.adminKey, "/v1/admin/workers")
	c.eventually(func() bool { return strings.Contains(c.coordinator.log.String(), `"message":"serving"`) }, "it logs")
	assert.NotContains(t, c.coordinator.log.String(), "/v1/admin/workers")
	t.Setenv("NIYANTA_LOG_LEVEL", "debug")
	c = newFleet(t)
	c.raw(c.adminKey, "/v1/admin/workers")
	c.eventually(func() bool { return strings.Contains(c.coordinator.log.String(), "/v1/admin/workers") },
		"at debug it does")
}
