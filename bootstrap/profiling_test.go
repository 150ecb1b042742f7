package bootstrap

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProfiles_AtTheAdminAddress_AreForAdministratorsOnly(t *testing.T) {
	status := func(d *Dev, url, key string) int {
		req, err := http.NewRequestWithContext(t.Context(), "GET", url+"/debug/pprof/goroutine?debug=1", nil)
		require.NoError(t, err)
		if key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		if resp.StatusCode == http.StatusOK {
			assert.Contains(t, string(b), "goroutine profile: total")
		}
		return resp.StatusCode
	}
	on := devAt(t, "NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_ADMIN_ADDR=127.0.0.1:0", "NIYANTA_PPROF=true")
	for key, want := range map[string]int{
		on.AdminKey: 200, "": 401, "nonsense": 401, on.CustomerKey: 403, on.WorkerKey: 403,
	} {
		assert.Equal(t, want, status(on, on.App.AdminURL(), key))
	}
	assert.Equal(t, 404, status(on, on.App.URL(), on.AdminKey), "the public address serves none")
	off := devAt(t, "NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_ADMIN_ADDR=127.0.0.1:0")
	assert.Equal(t, 404, status(off, off.App.AdminURL(), off.AdminKey))
	assert.Contains(t, problems(RoleCoordinator, adminKey, workerKey, "NIYANTA_PPROF=true"), "NIYANTA_PPROF:")
}
