package bootstrap

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// bulk sends a bulk request and returns its answer, which must be 200.
func (a *api) bulk(op, body string) answer {
	a.Helper()
	ans := a.send("POST", "/v1/workloads/batch/"+op, body, nil)
	require.Equal(a, 200, ans.status, ans.body)
	return ans
}

// outcomes returns the results of a bulk answer, each as "status" or "code status".
func (a answer) outcomes() []string {
	var out []string
	for _, r := range a.field("results").([]any) {
		m := r.(map[string]any)
		status, _ := m["status"].(string)
		if e, refused := m["error"].(map[string]any); refused {
			status = strings.TrimSpace(e["code"].(string) + " " + status)
		}
		out = append(out, status)
	}
	return out
}

// submitted submits n workloads with a label. They wait, because there is no worker.
func (a *api) submitted(n int, label string) []string {
	a.Helper()
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(`{"workload_type":"sleep","input_params":{"n":%d},"labels":{"batch":%q}}`, i, label)
	}
	ans := a.send("POST", "/v1/workloads/batch", `{"workloads":[`+strings.Join(items, ",")+`]}`, nil)
	require.Equal(a, 200, ans.status, ans.body)
	ids := make([]string, n)
	for i, r := range ans.field("results").([]any) {
		ids[i] = r.(map[string]any)["workload_id"].(string)
	}
	return ids
}

func (a *api) statusOf(id string) any {
	a.Helper()
	return a.send("GET", "/v1/workloads/"+id, "", nil).field("status")
}

func TestBulk_ByIDs_AnswersEachInItsPlace(t *testing.T) {
	onEachStore(t, func(a *api) {
		ids := a.submitted(3, "a")
		require.Equal(a, 200, a.send("POST", "/v1/workloads/"+ids[1]+"/cancel", "", nil).status)
		list := `["` + ids[0] + `",7,"wl_none","` + ids[1] + `","` + strings.ToUpper(ids[0]) + `","` + "a\\u0000" +
			`","` + ids[2] + `"]`
		dry := a.bulk("cancel", `{"workload_ids":`+list+`,"dry_run":true}`)
		require.Equal(a, []string{"PENDING", "INVALID_INPUT", "NOT_FOUND", "INVALID_STATE CANCELLED", "PENDING",
			"INVALID_INPUT", "PENDING"}, dry.outcomes())
		require.InDelta(a, 3, dry.field("matched"), 0, "ids[0] counts once")
		require.InDelta(a, 0, dry.field("applied"), 0)
		require.Equal(a, true, dry.field("dry_run"))
		require.Equal(a, "PENDING", a.statusOf(ids[0]))

		ans := a.bulk("cancel", `{"workload_ids":`+list+`,"reason":"all of them"}`)
		require.Equal(a, []string{"CANCELLED", "INVALID_INPUT", "NOT_FOUND", "INVALID_STATE CANCELLED", "CANCELLED",
			"INVALID_INPUT", "CANCELLED"}, ans.outcomes())
		require.InDelta(a, 3, ans.field("matched"), 0)
		require.InDelta(a, 2, ans.field("applied"), 0)
		results := ans.field("results").([]any)
		require.Equal(a, ids[0], results[0].(map[string]any)["workload_id"])
		require.NotContains(a, results[1], "workload_id")
		refused := results[3].(map[string]any)["error"].(map[string]any)
		require.Equal(a, map[string]any{"status": "CANCELLED"}, refused["details"])
		require.Contains(a, a.send("GET", "/v1/workloads/"+ids[2]+"/audit", "", nil).body, "all of them")

		for op, want := range map[string]string{"pause": "INVALID_STATE CANCELLED",
			"resume": "INVALID_STATE CANCELLED", "retry": "PENDING"} {
			require.Equal(a, []string{want, "NOT_FOUND"}, a.bulk(op, `{"workload_ids":["`+ids[0]+`","wl_none"]}`).outcomes(), op)
		}
	})
}

func TestBulk_ByFilter_GoesOnInPages(t *testing.T) {
	onEachStore(t, func(a *api) {
		nightly, other := a.submitted(5, "nightly"), a.submitted(1, "other")
		require.Equal(a, 200, a.send("POST", "/v1/workloads/"+nightly[2]+"/cancel", "", nil).status)
		const filter = `"filter":{"label":["batch=nightly"],"workload_type":"sleep"}`
		dry := a.bulk("cancel", `{`+filter+`,"dry_run":true}`)
		require.InDelta(a, 4, dry.field("matched"), 0, "those that are not final")
		require.Equal(a, []string{"PENDING", "PENDING", "PENDING", "PENDING"}, dry.outcomes())
		require.Equal(a, "PENDING", a.statusOf(nightly[0]))

		cursor, pages := "", []int{}
		for range 3 {
			ans := a.bulk("cancel", `{`+filter+`,"limit":2`+cursor+`}`)
			require.InDelta(a, 4, ans.field("matched"), 0, "as on the first page")
			require.InDelta(a, 2, ans.field("pagination.limit"), 0)
			pages = append(pages, len(ans.outcomes()))
			require.InDelta(a, len(ans.outcomes()), ans.field("applied"), 0)
			next, more := ans.field("pagination.next_cursor").(string)
			require.Equal(a, more, ans.field("pagination.has_more"))
			if !more {
				break
			}
			cursor = `,"cursor":"` + next + `"`
			for _, misuse := range []string{
				`{"filter":{"label":["batch=nightly"]}` + cursor + `}`, `{"workload_ids":["x"]` + cursor + `}`,
				`{` + filter + `,"cursor":"` + next + `x"}`,
			} {
				a.refused(a.send("POST", "/v1/workloads/batch/cancel", misuse, nil), 400, "INVALID_INPUT", "cursor")
			}
			a.refused(a.send("POST", "/v1/workloads/batch/pause", `{`+filter+cursor+`}`, nil), 400, "INVALID_INPUT", "cursor")
		}
		require.Equal(a, []int{2, 2}, pages)
		a.refused(a.send("POST", "/v1/workloads/batch/cancel", `{"workload_ids":["x"],"limit":5}`, nil),
			400, "INVALID_INPUT", "limit")
		for _, id := range nightly {
			require.Equal(a, "CANCELLED", a.statusOf(id))
		}
		require.Equal(a, "PENDING", a.statusOf(other[0]))
		none := a.bulk("cancel", `{`+filter+`}`)
		require.InDelta(a, 0, none.field("matched"), 0)
		require.Empty(a, none.field("results"))
		explicit := a.bulk("cancel", `{"filter":{"label":["batch=nightly"],"status":["CANCELLED"]}}`)
		require.InDelta(a, 5, explicit.field("matched"), 0)
		require.InDelta(a, 0, explicit.field("applied"), 0)

		retried := a.bulk("retry", `{"filter":{"label":["batch=nightly"]},"limit":3}`)
		require.InDelta(a, 5, retried.field("matched"), 0)
		next := retried.field("pagination.next_cursor").(string)
		rest := a.bulk("retry", `{"filter":{"label":["batch=nightly"]},"limit":3,"cursor":"`+next+`"}`)
		require.Len(a, rest.outcomes(), 2, "new workloads are not among those that follow")
	})
}

func TestBulk_WhenInvalid_NamesTheField(t *testing.T) {
	a := newAPI(t, 0)
	for body, field := range map[string]string{
		`{}`: "workload_ids", `{"workload_ids":["x"],"filter":{}}`: "workload_ids", `{"workload_ids":[]}`: "workload_ids",
		`{"filter":{"status":["ASLEEP"]}}`: "filter.status.0", `{"filter":{"label":["x"]}}`: "filter.label",
		`{"filter":{"colour":1}}`:    "filter.colour",
		`{"filter":{},"limit":1001}`: "limit", `{"filter":{},"colour":1}`: "colour", `{"filter":{},"cursor":"x"}`: "cursor",
		`{"workload_ids":[` + strings.Repeat(`"x",`, 1000) + `"x"]}`: "workload_ids",
	} {
		a.refused(a.send("POST", "/v1/workloads/batch/cancel", body, nil), 400, "INVALID_INPUT", field)
	}
	a.refused(a.send("POST", "/v1/workloads/batch/cancel", `{"filter":{},"from_scratch":true}`, nil), 400,
		"INVALID_INPUT", "from_scratch")
}

// TestLabelFilter_OfMoreLabelsThanAWorkloadHas_IsRefused: each label is a condition of a statement.
func TestLabelFilter_OfMoreLabelsThanAWorkloadHas_IsRefused(t *testing.T) {
	onEachStore(t, func(a *api) {
		a.submitted(1, "v")
		labels := func(n int) []string {
			out := make([]string, n)
			for i := range out {
				out[i] = fmt.Sprintf("k%d=v", i)
			}
			return out
		}
		body := func(labels []string) string { return `{"filter":{"label":["` + strings.Join(labels, `","`) + `"]}}` }
		admin := map[string]string{"Authorization": "Bearer " + a.dev.AdminKey}
		lists := func(labels []string) map[string]answer {
			query := "?" + url.Values{"label": labels}.Encode()
			return map[string]answer{
				"page":  a.send("GET", "/v1/workloads"+query, "", nil),
				"count": a.send("GET", "/v1/workloads"+query+"&offset=0", "", nil),
				"all":   a.send("GET", "/v1/admin/workloads"+query, "", admin),
			}
		}
		bulk := []string{"cancel", "pause", "resume", "retry"}
		for _, ans := range lists(labels(65)) {
			a.refused(ans, 400, "INVALID_INPUT", "label")
		}
		for _, op := range bulk {
			for _, n := range []int{65, 40_000} {
				a.refused(a.send("POST", "/v1/workloads/batch/"+op, body(labels(n)), nil), 400, "INVALID_INPUT", "filter.label")
			}
			require.Equal(a, 200, a.send("POST", "/v1/workloads/batch/"+op, body(labels(64)), nil).status, op)
		}
		for name, ans := range lists(labels(64)) {
			require.Equal(a, 200, ans.status, "%s: %s", name, ans.body)
			require.Empty(a, ans.field("workloads"))
		}
		same := slices.Repeat([]string{"batch=v"}, 100)
		for name, ans := range lists(same) {
			require.Equal(a, 200, ans.status, "%s: %s", name, ans.body)
			require.Len(a, ans.field("workloads"), 1, name)
		}
		many := strings.Replace(body(slices.Repeat(same, 400)), `{"label"`, `{"status":["PENDING"`+
			strings.Repeat(`,"PENDING"`, 40_000)+`],"label"`, 1)
		require.InDelta(a, 1, a.bulk("cancel", many).field("applied"), 0)
	})
}

func TestBulk_WithAKey_RepeatsTheWholeAnswer(t *testing.T) {
	onEachStore(t, func(a *api) {
		ids := a.submitted(3, "k")
		key := map[string]string{"Idempotency-Key": "k"}
		for _, c := range []struct{ op, body, other string }{
			{"cancel", `{"workload_ids":["` + ids[0] + `",7]}`, `{"workload_ids":["` + ids[0] + `",8,9]}`},
			{"cancel", "", `{"filter":{}}`},
			{"retry", `{"filter":{"label":["batch=k"]}}`, `{"filter":{"label":["batch=k"]},"from_scratch":true}`},
		} {
			path := "/v1/workloads/batch/" + c.op
			if c.body != "" {
				first := a.send("POST", path, c.body, key)
				require.Equal(a, 200, first.status, first.body)
				require.InDelta(a, 1, first.field("applied"), 0)
				again := a.send("POST", path, " "+c.body, key)
				require.Equal(a, first.body, again.body)
			}
			a.refused(a.send("POST", path, c.other, key), 409, "CONFLICT", "Idempotency-Key")
		}
		list := a.send("GET", "/v1/workloads?label=batch%3Dk&offset=0", "", nil)
		require.InDelta(a, 4, list.field("pagination.total"), 0, "one was run again, once")
	})
}

func TestBulk_OfAnotherCustomer_AnswersLikeMissing(t *testing.T) {
	a := newAPI(t, 0)
	ids := a.submitted(2, "x")
	require.Equal(t, 200, a.send("POST", "/v1/workloads/"+ids[1]+"/cancel", "", nil).status)
	const filtered = `{"filter":{"label":["batch=x"],"status":["PENDING","CANCELLED"]},"limit":1`
	page := a.bulk("cancel", filtered+`,"dry_run":true}`)
	require.Equal(t, 201, a.call("POST", "/v1/admin/customers", a.dev.AdminKey, map[string]any{
		"customer_id": "cust_rival", "name": "R", "tier": "enterprise",
	}).status)
	rival := map[string]string{"Authorization": "Bearer " + a.call("POST", "/v1/admin/customers/cust_rival/keys",
		a.dev.AdminKey, map[string]any{"role": "customer"}).field("key").(string)}
	for _, op := range []string{"cancel", "pause", "resume", "retry"} {
		path := "/v1/workloads/batch/" + op
		for _, dry := range []string{"true", "false"} {
			byID := func(id string) string {
				ans := a.send("POST", path, `{"workload_ids":["`+id+`"],"dry_run":`+dry+`}`, rival)
				require.Equal(t, 200, ans.status, ans.body)
				return strings.ReplaceAll(ans.body, id, "")
			}
			for _, id := range ids {
				require.Equal(t, byID("wl_none"), byID(id), op)
			}
			all := a.send("POST", path, `{"filter":{},"dry_run":`+dry+`}`, rival)
			require.InDelta(t, 0, all.field("matched"), 0, op)
		}
	}
	cursor := page.field("pagination.next_cursor").(string)
	a.refused(a.send("POST", "/v1/workloads/batch/cancel", filtered+`,"cursor":"`+cursor+`"}`, rival),
		400, "INVALID_INPUT", "cursor")
	for _, id := range ids {
		mine, none := a.send("POST", "/v1/workloads/"+id+"/retry", "", rival), a.send("POST",
			"/v1/workloads/wl_none/retry", "", rival)
		a.refused(mine, 404, "NOT_FOUND", "")
		require.Equal(t, none.field("error.message"), mine.field("error.message"))
	}
	require.Equal(t, []any{"PENDING", "CANCELLED"}, []any{a.statusOf(ids[0]), a.statusOf(ids[1])})
}

func TestBulk_PauseAndResume_ActOnRunningWorkloads(t *testing.T) {
	a := newAPI(t, 1)
	long := map[string]any{"workload_type": "sleep", "input_params": map[string]any{"duration_ms": 60_000,
		"steps": 6000}, "labels": map[string]any{"p": "q"}}
	ids := []string{a.submit(long), a.submit(long)}
	for _, id := range ids {
		a.until("/v1/workloads/"+id, "status", "RUNNING")
	}
	paused := a.bulk("pause", `{"filter":{"label":["p=q"]},"reason":"maintenance"}`)
	require.InDelta(t, 2, paused.field("applied"), 0)
	for _, id := range ids {
		a.until("/v1/workloads/"+id, "status", "PAUSED")
	}
	resumed := a.bulk("resume", `{"filter":{}}`)
	require.InDelta(t, 2, resumed.field("applied"), 0)
	require.Equal(t, []string{"PENDING", "PENDING"}, resumed.outcomes())
	require.InDelta(t, 2, a.bulk("cancel", `{"filter":{}}`).field("applied"), 0)
}
