package http

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

func TestInFlight_WhenALimitIsReached_AnswersWithItsDetails(t *testing.T) {
	for name, c := range map[string]struct {
		fill    func(*inFlight)
		code    int
		details map[string]any
	}{
		"of the customer": {func(f *inFlight) { f.by["cust_a"] = maxInFlightPerCustomer }, 429, map[string]any{
			"limit": float64(maxInFlightPerCustomer), "window_seconds": 0.0, "retry_after": 1.0,
		}},
		"of the coordinator": {func(f *inFlight) { f.total = maxInFlight }, 503, map[string]any{
			"limit": float64(maxInFlight), "retry_after": 1.0,
		}},
	} {
		s := newSurface(t)
		c.fill(&s.inFlight)
		rec, _ := s.send("GET", "/v1/workloads", s.keys[domain.RoleCustomer])
		require.Equal(t, c.code, rec.Code, name)
		var body struct {
			Error struct {
				Details map[string]any `json:"details"`
			} `json:"error"`
		}
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &body))
		assert.Equal(t, c.details, body.Error.Details, name)
		assert.Equal(t, "1", rec.Header().Get("Retry-After"), name)
		assert.NotEmpty(t, rec.Header().Get("X-RateLimit-Limit"), name)

		other, _ := s.send("GET", "/ready", "")
		require.NotEqual(t, 429, other.Code, "health is answered however busy clients are")
		worker, _ := s.send("GET", "/v1/worker/workloads/x/checkpoints/1?worker_id=w&session_id=s&generation=1", s.keys[domain.RoleWorker])
		require.Equal(t, 501, worker.Code, "so are workers")
	}
}

func TestBatchResult_WhenTheQueueIsFull_SaysWhenToTryAgain(t *testing.T) {
	full := domain.Unavailable(1, "full")
	got := batchResult(&lifecycle.SubmitOutcome{Err: full})
	require.Equal(t, map[string]any{"retry_after": 1}, got.Error.Details)
	got = batchResult(&lifecycle.SubmitOutcome{Err: errors.New("broken")})
	require.Equal(t, string(domain.CodeInternal), got.Error.Code)
	require.Empty(t, got.Error.Details)
}
