package bootstrap

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCancel_OfAFinalWorkload_IsRefusedWithItsStatus(t *testing.T) {
	onEachStore(t, func(a *api) {
		path := "/v1/workloads/" + a.submit(sleepBody(60_000)) + "/cancel"
		first := a.send("POST", path, `{"reason":"first"}`, nil)
		require.Equal(a, 200, first.status, first.body)
		require.Equal(a, "CANCELLED", first.field("status"))
		for _, key := range []map[string]string{nil, {"Idempotency-Key": "late"}} {
			again := a.send("POST", path, `{"reason":"first"}`, key)
			a.refused(again, 400, "INVALID_STATE", "")
			require.Equal(a, "CANCELLED", again.field("error.details.status"))
		}
	})
}

func TestCancel_WithTheSameKey_RepeatsTheFirstAnswer(t *testing.T) {
	onEachStore(t, func(a *api) {
		id := a.submit(sleepBody(60_000))
		key := map[string]string{"Idempotency-Key": "k"}
		cancel := func(id, body string) answer { return a.send("POST", "/v1/workloads/"+id+"/cancel", body, key) }
		first := cancel(id, `{"reason":"no longer needed"}`)
		require.Equal(a, 200, first.status, first.body)
		time.Sleep(2 * time.Millisecond) // cancelled_at has milliseconds
		for _, same := range []string{`{"reason":"no longer needed"}`, ` { "reason" : "no longer needed" } `} {
			again := cancel(id, same)
			require.Equal(a, 200, again.status, again.body)
			require.Equal(a, first.body, again.body)
		}
		require.Equal(a, first.body, cancel(strings.ToUpper(id), `{"reason":"no longer needed"}`).body)
		a.refused(cancel(id, `{"reason":"another body"}`), 400, "INVALID_STATE", "")
		a.refused(cancel(id, ``), 400, "INVALID_STATE", "")

		other := a.submit(sleepBody(60_000))
		require.Equal(a, 200, cancel(other, `{"reason":"no longer needed"}`).status, "another path is another scope")
		trail := a.send("GET", "/v1/workloads/"+id+"/audit", "", nil)
		require.Len(a, trail.field("events"), 2)

		a.refused(a.send("POST", "/v1/workloads/"+id+"/cancel", "", map[string]string{
			"Idempotency-Key": strings.Repeat("k", 256),
		}), 400, "INVALID_INPUT", "Idempotency-Key")
	})
}

func TestCancel_ByManyAtOnceWithOneKey_IsOneCancel(t *testing.T) {
	onEachStore(t, func(a *api) {
		id := a.submit(sleepBody(60_000))
		answers := make([]answer, 64)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				answers[i] = a.send("POST", "/v1/workloads/"+id+"/cancel", "", map[string]string{"Idempotency-Key": "k"})
			})
		}
		all.Wait()
		for _, ans := range answers {
			assert.Equal(a, 200, ans.status, ans.body)
			assert.Equal(a, answers[0].body, ans.body)
		}
		require.Len(a, a.send("GET", "/v1/workloads/"+id+"/audit", "", nil).field("events"), 2)
	})
}
