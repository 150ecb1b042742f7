package niyanta_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestWithTimeout_WhenItHasAFraction_RoundsUp(t *testing.T) {
	var got struct {
		Timeout *int `json:"timeout_seconds"`
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Timeout = nil
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&got))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(`{"workload_id":"wl_1","status":"PENDING","created_at":"2026-01-02T03:04:05.000Z",` +
			`"estimated_start_time":null}`))
	}))
	defer server.Close()
	client, err := niyanta.NewClient(server.URL, "k")
	require.NoError(t, err)
	defer client.Close()
	def := niyanta.Define[struct{}, struct{}, struct{}]("t")
	for d, want := range map[time.Duration]int{
		// which the server refuses by name
		500 * time.Millisecond: 1, 1: 1, time.Second: 1, 1500 * time.Millisecond: 2, 0: 0, -time.Millisecond: -1,
	} {
		_, err := def.Submit(context.Background(), client, struct{}{}, niyanta.WithTimeout(d))
		require.NoError(t, err)
		require.NotNil(t, got.Timeout)
		assert.Equal(t, want, *got.Timeout, d)
	}
	_, err = def.Submit(context.Background(), client, struct{}{})
	require.NoError(t, err)
	assert.Nil(t, got.Timeout, "the config's")
}
