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

// fill takes places of a pool for good.
func fill(t *testing.T, p *pool, holder string, n int) {
	t.Helper()
	for range n {
		require.NoError(t, p.enter(holder, 1))
	}
}

func TestInFlight_WhenALimitIsReached_AnswersWithItsDetails(t *testing.T) {
	for name, c := range map[string]struct {
		fill  func(*testing.T, *reserves)
		limit float64
	}{
		"of the customer": {func(t *testing.T, r *reserves) { fill(t, r.customers.short, "cust_a", 2) }, 2},
		"of the coordinator": {func(t *testing.T, r *reserves) {
			fill(t, r.customers.short, "cust_b", 2)
			fill(t, r.customers.short, "cust_c", 2)
			fill(t, r.customers.short, "cust_d", 1)
		}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSurface(t)
			c.fill(t, &s.reserves)
			for _, role := range []domain.Role{domain.RoleCustomer, domain.RoleViewer} {
				rec, _ := s.send("GET", "/v1/workloads", s.keys[role])
				require.Equal(t, 503, rec.Code)
				var body struct {
					Error struct {
						Code    string         `json:"code"`
						Details map[string]any `json:"details"`
					} `json:"error"`
				}
				require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &body))
				assert.Equal(t, "SERVICE_UNAVAILABLE", body.Error.Code)
				assert.Equal(t, map[string]any{"limit": c.limit, "retry_after": 1.0}, body.Error.Details)
				assert.Equal(t, "1", rec.Header().Get("Retry-After"))
				assert.NotEmpty(t, rec.Header().Get("X-RateLimit-Limit"))
			}
			for target, key := range map[string]string{
				"/v1/worker/workloads/x/checkpoints/1?worker_id=w&session_id=s&generation=1": s.keys[domain.RoleWorker],
				"/v1/admin/workers": s.keys[domain.RoleAdmin],
			} {
				rec, _ := s.send("GET", target, key)
				assert.Equal(t, 501, rec.Code, "%s has places of its own", target)
			}
			for _, target := range []string{"/health", "/metrics", "/openapi.yaml"} {
				rec, _ := s.send("GET", target, "")
				assert.Equal(t, 200, rec.Code, "%s is answered however busy clients are", target)
			}
		})
	}
}

func TestInFlight_WhenWorkersOrOperatorsReachTheirs_OthersAreServed(t *testing.T) {
	s := newSurface(t)
	fill(t, s.reserves.workers.short, "", 2)
	fill(t, s.reserves.operators.short, "", 2)
	for target, key := range map[string]string{
		"/v1/worker/workloads/x/checkpoints/1?worker_id=w&session_id=s&generation=1": s.keys[domain.RoleWorker],
		"/v1/admin/workers": s.keys[domain.RoleAdmin],
	} {
		rec, _ := s.send("GET", target, key)
		assert.Equal(t, 503, rec.Code, target)
		assert.NotEmpty(t, rec.Header().Get("X-RateLimit-Limit"))
	}
	rec, _ := s.send("GET", "/v1/workloads", s.keys[domain.RoleCustomer])
	require.Equal(t, 501, rec.Code)
}

func TestInFlight_ARequestThatWaits_GivesItsPlaceBack(t *testing.T) {
	r := newReserves(InFlight{
		Requests: 2, RequestsPerCustomer: 1, Waits: 2, WaitsPerCustomer: 1, Streams: 2, StreamsPerKey: 1,
	})
	refused := 0
	request := func(customer string) (*place, error) {
		p := &place{
			from: r.customers.short, taken: 1, holder: customer, waiting: r.customers.waiting, streams: r.streams,
			customer: customer, key: "key_of_" + customer, refused: func() { refused++ },
		}
		return p, p.from.enter(customer, 1)
	}
	poll, err := request("cust_a")
	require.NoError(t, err)
	_, err = request("cust_a")
	require.Error(t, err, "one at once")
	require.NoError(t, poll.startWaiting())
	require.NoError(t, poll.startWaiting(), "a request may wait twice")
	short, err := request("cust_a")
	require.NoError(t, err, "a long poll takes nothing from short requests")
	err = short.startWaiting()
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err), "one waits at once")
	require.Equal(t, 1, refused)
	other, err := request("cust_b")
	require.NoError(t, err)
	require.NoError(t, other.startWaiting(), "of another customer")
	require.NoError(t, short.startStreaming(), "streams have places of their own")
	again, err := request("cust_a")
	require.NoError(t, err)
	require.Error(t, again.startStreaming(), "one stream at once")
	for _, p := range []*place{poll, short, other, again} {
		p.leave()
	}
	for _, p := range []*pool{r.customers.short, r.customers.waiting, r.streams} {
		assert.Zero(t, p.total, p.what)
		assert.Empty(t, p.by, p.what)
	}
}

func TestInFlight_ALargeBody_TakesThePlacesOfOthers(t *testing.T) {
	r := newReserves(InFlight{Requests: 30, RequestsPerCustomer: 20})
	refused := 0
	request := func(customer string) *place {
		p := &place{
			from: r.customers.short, taken: 1, holder: customer, customer: customer, refused: func() { refused++ },
		}
		require.NoError(t, p.from.enter(customer, 1))
		return p
	}
	first, second, other := request("cust_a"), request("cust_a"), request("cust_b")
	require.NoError(t, first.widen(16))
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(second.widen(16)), "16 and 16 of 20")
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(other.widen(16)), "of all")
	require.Equal(t, 2, refused)
	first.leave()
	require.NoError(t, other.widen(100), "all that one customer may have")
	require.Equal(t, 20, other.taken)
	other.leave()
	second.leave()
	assert.Zero(t, r.customers.short.total)
	assert.Empty(t, r.customers.short.by)
}

func TestBatchResult_WhenTheQueueIsFull_SaysWhenToTryAgain(t *testing.T) {
	full := domain.Unavailable(1, "full")
	got := batchResult(&lifecycle.SubmitOutcome{Err: full})
	require.Equal(t, map[string]any{"retry_after": 1}, got.Error.Details)
	got = batchResult(&lifecycle.SubmitOutcome{Err: errors.New("broken")})
	require.Equal(t, domain.CodeInternal, got.Error.Code)
	require.Empty(t, got.Error.Details)
}
