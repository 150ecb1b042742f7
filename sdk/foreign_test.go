package niyanta_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// foreign answers with what no coordinator tells.
func foreign(kind, body string) act {
	return func(_ *script, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, body)
	}
}

// A page for logging in, or a gateway, may answer 200. Wait and Watch would ask it again without end, and a
// workload would seem to be submitted, or to have no state.
func TestClient_WhenASuccessIsOfSomethingElse_SaysSo(t *testing.T) {
	for name, answer := range map[string]act{
		"html": foreign("text/html", "<html>log in</html>"), "others": foreign("application/json", `{"status":"ok"}`),
		"none": foreign("application/json", "{}"), "null": foreign("application/json", "null"),
		"nothing": nothing,
	} {
		s := play(t, slices.Repeat([]act{answer}, 20)...)
		c := s.client(t, niyanta.RetryFor(0))
		for call, f := range map[string]func() error{
			"get": func() error { _, err := c.Get(t.Context(), "wl_1"); return err },
			"wait": func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := c.Wait(ctx, "wl_1", niyanta.Forever)
				return err
			},
			"submit": func() error {
				_, err := c.Submit(t.Context(), niyanta.Submission{WorkloadType: "t"}, "")
				return err
			},
			"cancel": func() error { _, err := c.Cancel(t.Context(), "wl_1", "", ""); return err },
			"data":   func() error { _, err := c.CheckpointData(t.Context(), "wl_1", 1); return err },
			"watch": func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := told(c.Watch(ctx, "wl_1"))
				return err
			},
		} {
			if err := f(); name != "nothing" || call != "watch" { // where nothing comes behind an event
				assert.ErrorIs(t, err, niyanta.ErrUnavailable, "%s: %s", name, call)
			}
		}
	}
}

// An id in a path must not become another path: "/v1/admin/customers/../keys/k" is an operator's key.
func TestClient_WithWhatIsNoID_AsksNobody(t *testing.T) {
	s := play(t)
	c := s.client(t)
	for _, id := range []string{"", ".", "..", "\x00"} {
		for call, f := range map[string]func() error{
			"get":        func() error { _, err := c.Get(t.Context(), id); return err },
			"cancel":     func() error { _, err := c.Cancel(t.Context(), id, "", ""); return err },
			"retry":      func() error { _, err := c.Retry(t.Context(), id, niyanta.RetryOptions{}); return err },
			"watch":      func() error { _, err := told(c.Watch(t.Context(), id)); return err },
			"keys":       func() error { _, err := niyanta.Collect(c.Keys(t.Context(), id)); return err },
			"revoke of":  func() error { return c.RevokeKey(t.Context(), id, "key_1") },
			"revoke":     func() error { return c.RevokeKey(t.Context(), "cust_a", id) },
			"operator's": func() error { return c.RevokeOperatorKey(t.Context(), id) },
			"worker":     func() error { return c.RemoveWorker(t.Context(), id) },
			"customer":   func() error { _, err := c.DeleteCustomer(t.Context(), id, true); return err },
			"config":     func() error { return c.DeleteConfig(t.Context(), id) },
		} {
			require.ErrorIs(t, f(), niyanta.ErrInvalidInput, "%q: %s", id, call)
		}
	}
	calls, _ := s.served()
	assert.Zero(t, calls)
}
