package bootstrap

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// Servers of NATS that take connections and say nothing: opening the bus takes longer than a supervisor
// has.
func TestCertify_WhileTheBusIsSilent_TellsTheCoordinatorsAtOnce(t *testing.T) {
	var silent []string
	for range 6 {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = l.Close() }()
		silent = append(silent, "nats://"+l.Addr().String())
	}
	var told atomic.Int32
	coordinator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/v1/worker/end", r.URL.Path)
		told.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprint(w, "{}")
	}))
	defer coordinator.Close()
	cfg, err := Load([]string{
		"NIYANTA_BUS=nats", "NIYANTA_NATS_URL=" + strings.Join(silent, ","), "NIYANTA_COORDINATOR_URL=" + coordinator.URL,
		"NIYANTA_WORKER_KEY=worker-key-of-tests-0123456789-abcde",
	})
	require.NoError(t, err)
	end := domain.SessionEnd{ProcessID: "proc_1", Secret: strings.Repeat("0", 64)}
	require.NoError(t, certify(t.Context(), cfg, RoleWorker, end, 1, slog.New(slog.DiscardHandler)))
	assert.Equal(t, int32(1), told.Load())
}
