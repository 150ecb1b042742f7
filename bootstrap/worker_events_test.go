package bootstrap

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWorkerEvents_OfARemovedWorker_NameWhoDidWhat(t *testing.T) {
	a := newAPI(t, 0)
	ada := a.operatorKey(map[string]any{"name": "Ada", "role": "admin"})
	key := ada.field("key").(string)
	require.Equal(t, 404, a.call("GET", "/v1/admin/workers/w1", key, nil).status)
	require.Equal(t, 404, a.call("GET", "/v1/admin/workers/w1/events", key, nil).status)
	require.Equal(t, 200, a.call("POST", "/v1/worker/register", a.dev.WorkerKey,
		workerCalls("w1")["register"].body).status)
	one := a.call("GET", "/v1/admin/workers/w1", key, nil)
	require.Equal(t, 200, one.status, one.body)
	require.Equal(t, "w1", one.field("worker_id"))
	require.Equal(t, "HEALTHY", one.field("status"))
	require.Less(t, a.call("POST", "/v1/admin/workers/w1/drain", key, nil).status, 300)
	require.Equal(t, 204, a.call("DELETE", "/v1/admin/workers/w1", key, nil).status)
	require.Equal(t, 404, a.call("GET", "/v1/admin/workers/w1", key, nil).status)

	events := a.call("GET", "/v1/admin/workers/w1/events", key, nil).field("events").([]any)
	types := make([]any, len(events))
	for i, e := range events {
		types[i] = e.(map[string]any)["event_type"]
	}
	require.Equal(t, []any{"worker.registered", "worker.draining", "worker.removed"}, types)
	drained := events[1].(map[string]any)
	require.Equal(t, "user", drained["actor_type"])
	require.Equal(t, ada.field("key_id"), drained["actor_id"])
	page := a.call("GET", "/v1/admin/workers/w1/events?limit=1&after="+fmt.Sprint(drained["event_id"]), key,
		nil).field("events").([]any)
	require.Len(t, page, 1)
	require.Equal(t, "worker.removed", page[0].(map[string]any)["event_type"])
	last := fmt.Sprint(page[0].(map[string]any)["event_id"])
	require.Empty(t, a.call("GET", "/v1/admin/workers/w1/events?after="+last, key, nil).field("events"),
		"its end is no 404")
}
