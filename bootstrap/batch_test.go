package bootstrap

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (a *api) total() float64 {
	a.Helper()
	return a.send("GET", "/v1/workloads?offset=0&limit=1", "", nil).field("pagination.total").(float64)
}

func TestBatch_ItemsWithOneKey_AreOneWorkload(t *testing.T) {
	onEachStore(t, func(a *api) {
		item := `{"workload_type":"sleep","input_params":{"n":1},"idempotency_key":"k"}`
		items := `{"workloads":[` + strings.TrimSuffix(strings.Repeat(item+",", 64), ",") + `]}`
		answers := make([]answer, 64)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				body := `{"workloads":[` + item + `]}`
				if i%8 == 0 {
					body = items
				}
				answers[i] = a.send("POST", "/v1/workloads/batch", body, nil)
			})
		}
		all.Wait()
		id := answers[0].field("results").([]any)[0].(map[string]any)["workload_id"]
		require.NotEmpty(a, id)
		for _, ans := range answers {
			for _, r := range ans.field("results").([]any) {
				assert.Equal(a, id, r.(map[string]any)["workload_id"], ans.body)
			}
		}
		require.InDelta(a, 1, a.total(), 0)
		single := a.send("POST", "/v1/workloads", `{"workload_type":"sleep","input_params":{"n":1}}`,
			map[string]string{"Idempotency-Key": "k"})
		require.Equal(a, id, single.field("workload_id"), "items and single submissions share their keys")

		mixed := a.send("POST", "/v1/workloads/batch", `{"workloads":[`+
			`{"workload_type":"sleep","input_params":{"n":2},"idempotency_key":"k"},`+
			`{"workload_type":"sleep","input_params":{"n":3},"idempotency_key":"`+strings.Repeat("x", 256)+`"},`+
			`{"workload_type":"sleep","input_params":{"n":4},"idempotency_key":""},`+
			`{"workload_type":"sleep","input_params":{"n":5},"idempotency_key":"other"}]}`, nil)
		require.Equal(a, []string{"CONFLICT", "INVALID_INPUT", "INVALID_INPUT", "PENDING"}, mixed.outcomes())
	})
}

func TestBatch_WithAKey_RepeatsTheWholeAnswer(t *testing.T) {
	onEachStore(t, func(a *api) {
		body := `{"workloads":[{"workload_type":"sleep","input_params":{"n":1}},{"workload_type":"sleep"},` +
			`{"workload_type":"sleep","input_params":{"n":1}},` +
			`{"workload_type":"sleep","input_params":{"n":1},"idempotency_key":"own"}]}`
		key := map[string]string{"Idempotency-Key": "batch"}
		answers := make([]answer, 64)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() { answers[i] = a.send("POST", "/v1/workloads/batch", body, key) })
		}
		all.Wait()
		for _, ans := range answers {
			assert.Equal(a, 200, ans.status)
			assert.Equal(a, answers[0].body, ans.body)
		}
		require.Equal(a, []string{"PENDING", "INVALID_INPUT", "PENDING", "PENDING"}, answers[0].outcomes())
		require.InDelta(a, 3, a.total(), 0, "equal items are workloads of their own")

		id := answers[0].field("results").([]any)[0].(map[string]any)["workload_id"].(string)
		require.Equal(a, 200, a.send("POST", "/v1/workloads/"+id+"/cancel", "", nil).status)
		require.Equal(a, answers[0].body, a.send("POST", "/v1/workloads/batch", strings.ReplaceAll(body, ":", " : "),
			key).body,
			"the first answer, whatever has happened since")
		for _, other := range []string{
			strings.ReplaceAll(body, `{"n":1}`, `{"n":2}`), strings.ReplaceAll(body, `{"workload_type":"sleep"}`,
				`{"workload_type":7}`),
		} {
			a.refused(a.send("POST", "/v1/workloads/batch", other, key), 409, "CONFLICT", "Idempotency-Key")
		}
		require.Equal(a, 200, a.send("POST", "/v1/workloads/batch", body, nil).status)
		require.InDelta(a, 5, a.total(), 0, "without the key it is another batch, of which one item has a key")
	})
}

func TestBatch_BodiesOfUpTo16MiB_AreAccepted(t *testing.T) {
	a := newAPI(t, 0)
	batch := func(items, size int) answer {
		item := fmt.Sprintf(`{"workload_type":"sleep","input_params":{"a":"%s"}}`, strings.Repeat("x", size))
		return a.send("POST", "/v1/workloads/batch", `{"workloads":[`+strings.TrimSuffix(strings.Repeat(item+",",
			items), ",")+`]}`, nil)
	}
	const most = 1<<20 - 100 // an item may be as large as a submission alone
	large := batch(16, most)
	require.Equal(t, 200, large.status)
	for _, status := range large.outcomes() {
		require.Equal(t, "PENDING", status)
	}
	require.Equal(t, []string{"TOO_LARGE"}, batch(1, 1<<20).outcomes())
	tooLarge := batch(17, most)
	a.refused(tooLarge, 413, "TOO_LARGE", "")
	require.InDelta(t, 16<<20, tooLarge.field("error.details.max_bytes"), 0)
	single := a.send("POST", "/v1/workloads", `{"workload_type":"sleep","input_params":{"a":"`+strings.Repeat("x",
		1<<20)+`"}}`, nil)
	a.refused(single, 413, "TOO_LARGE", "")
}
