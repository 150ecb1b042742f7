package bootstrap

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// TestSession_WhenItsKeyIsRevoked_EndsAndItsStreamToo signs in at a coordinator and revokes the key.
func TestSession_WhenItsKeyIsRevoked_EndsAndItsStreamToo(t *testing.T) {
	a := newAPI(t, 1)
	var made struct {
		KeyID string `json:"key_id"`
		Key   string `json:"key"`
	}
	keys := "/v1/admin/customers/cust_dev/keys"
	answer := a.call("POST", keys, a.dev.AdminKey, map[string]any{"role": "viewer"})
	require.Equal(t, 201, answer.status, answer.body)
	require.NoError(t, json.Unmarshal([]byte(answer.body), &made))

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ask := func(method, path string, set func(*http.Request)) *http.Response {
		r, err := http.NewRequestWithContext(ctx, method, a.dev.App.URL()+path, nil)
		require.NoError(t, err)
		set(r)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	in := ask("POST", "/v1/session", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+made.Key) })
	require.Equal(t, 200, in.StatusCode)
	cookie := in.Cookies()[0]
	signedIn := func(r *http.Request) { r.AddCookie(cookie) }
	require.Equal(t, 200, ask("GET", "/v1/workloads", signedIn).StatusCode)
	require.Equal(t, 403, ask("POST", "/v1/workloads/x/cancel", signedIn).StatusCode, "a viewer, and without a token")

	stream := ask("GET", "/v1/events", signedIn)
	require.Equal(t, 200, stream.StatusCode)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
		}
	}()
	require.Equal(t, 204, a.call("DELETE", keys+"/"+made.KeyID, a.dev.AdminKey, nil).status)
	watch := testfiles.StartStopwatch(t)
	select {
	case <-ended:
		require.Less(t, watch.Took(), 5*time.Second, "the stream goes on after the revocation")
	case <-time.After(time.Minute):
		t.Fatal("the stream goes on after the revocation")
	}
	require.Equal(t, 401, ask("GET", "/v1/workloads", signedIn).StatusCode)
}
