package workloads

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/ports"
)

// A run is paused or released only if its error says that it stopped because it was asked to; see
// ports.Workload.
func TestBuiltInTypes_WhenStopped_SayThatTheyStopped(t *testing.T) {
	began := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
		began <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	client := newHTTPClient(true)
	defer client.CloseIdleConnections()
	for name, c := range map[string]struct {
		workload ports.Workload
		input    string
	}{
		"sleep":                  {&sleep{}, `{"duration_ms":60000}`},
		"http, before an answer": {&call{client: client}, `{"url":"` + server.URL + `/wait"}`},
		"http, within an answer": {&call{client: client}, `{"url":"` + server.URL + `/body","timeout_seconds":60}`},
	} {
		for _, cause := range []error{ports.ErrDraining, ports.ErrPaused} {
			t.Run(name+": "+cause.Error(), func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				require.NoError(t, c.workload.Init(ctx, task(c.input)))
				if name == "sleep" {
					began <- struct{}{}
				}
				ended := make(chan error, 1)
				go func() {
					_, err := c.workload.Execute(ctx, &recorder{})
					ended <- err
				}()
				<-began
				cancel(cause)
				err := <-ended
				assert.True(t, errors.Is(err, cause) || errors.Is(err, context.Canceled), "%v", err)
				var re *ports.RunError
				assert.False(t, errors.As(err, &re) && re.Permanent)
			})
		}
	}
}
