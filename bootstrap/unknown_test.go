package bootstrap

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLoad_WhenANameIsMistyped_NamesTheNearest(t *testing.T) {
	_, err := Load([]string{"NIYANTA_STOER=postgres", "NIYANTA_HEARTBEAT_INTERVALL=3s", "NIYANTA_ADMIN_KEY_FLIE=/x"})
	require.Error(t, err)
	for _, want := range []string{
		"NIYANTA_STOER: no such setting; did you mean NIYANTA_STORE?",
		"NIYANTA_HEARTBEAT_INTERVALL: no such setting; did you mean NIYANTA_HEARTBEAT_INTERVAL?",
		"NIYANTA_ADMIN_KEY_FLIE: no such setting; did you mean NIYANTA_ADMIN_KEY_FILE?",
	} {
		assert.ErrorContains(t, err, want)
	}
}

func TestLoad_VariablesOfOthers_AreIgnored(t *testing.T) {
	_, err := Load([]string{
		"PATH=/bin", "NIYANTA_URL=http://127.0.0.1:8080", "NIYANTA_API_KEY=k",
		"NIYANTA_WORKER_TAGS=a=b", "NIYANTA_TEST_X=1",
		// Kubernetes sets these for a service named niyanta, and for one named niyanta-coordinator.
		"NIYANTA_SERVICE_HOST=10.0.0.1", "NIYANTA_SERVICE_PORT=8080", "NIYANTA_SERVICE_PORT_HTTP=8080",
		"NIYANTA_PORT=tcp://10.0.0.1:8080", "NIYANTA_PORT_8080_TCP=tcp://10.0.0.1:8080",
		"NIYANTA_PORT_8080_TCP_PROTO=tcp", "NIYANTA_PORT_8080_TCP_PORT=8080", "NIYANTA_PORT_8080_TCP_ADDR=10.0.0.1",
		"NIYANTA_COORDINATOR_SERVICE_HOST=10.0.0.2", "NIYANTA_COORDINATOR_PORT=tcp://10.0.0.2:8080",
	})
	require.NoError(t, err)
}
