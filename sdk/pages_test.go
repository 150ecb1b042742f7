package niyanta_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestWorkloads_WhileOthersComeAndChange_YieldsEachThatIsThereOnce(t *testing.T) {
	server := exampleServer()
	defer func() { assert.NoError(t, server.Close()) }()
	client, err := niyanta.NewClient(server.URL, server.CustomerKey)
	require.NoError(t, err)
	defer client.Close()
	later := time.Now().Add(time.Hour)
	waiting := niyanta.Submission{WorkloadType: "count", InputParams: json.RawMessage(`{}`), RunAt: &later}
	batch := make([]niyanta.BatchSubmission, 250)
	for i := range batch {
		batch[i].Submission = waiting
	}
	accepted, err := client.SubmitBatch(t.Context(), batch, "")
	require.NoError(t, err)
	seen := map[string]int{}
	for w, err := range client.Workloads(t.Context(), niyanta.ListParams{}) {
		require.NoError(t, err)
		seen[w.WorkloadID]++
		if len(seen)%40 == 0 {
			_, err := client.Submit(t.Context(), waiting, "")
			require.NoError(t, err)
			_, err = client.Cancel(t.Context(), *accepted[len(seen)/40].WorkloadID, "", "")
			require.NoError(t, err)
		}
	}
	for _, a := range accepted {
		assert.Equal(t, 1, seen[*a.WorkloadID])
	}
	assert.Len(t, seen, len(accepted), "none is seen twice, and what came later was before the beginning")

	all, err := niyanta.Collect(client.Workloads(t.Context(), niyanta.ListParams{
		Status: &[]niyanta.Status{niyanta.StatusCancelled}, Limit: new(2),
	}))
	require.NoError(t, err)
	assert.Len(t, all, 6, "over three pages")
	list := client.Workloads(t.Context(), niyanta.ListParams{Limit: new(3)})
	for range 2 { // an iterator begins anew each time
		n := 0
		for _, err := range list {
			require.NoError(t, err)
			if n++; n == 5 {
				break
			}
		}
		assert.Equal(t, 5, n)
	}
}

func TestAllWorkloads_OfEachCustomerOrOne_YieldsThem(t *testing.T) {
	server := exampleServer()
	defer func() { assert.NoError(t, server.Close()) }()
	admin, err := niyanta.NewClient(server.URL, server.AdminKey)
	require.NoError(t, err)
	defer admin.Close()
	later := time.Now().Add(time.Hour)
	want := map[string][]string{}
	for _, name := range []string{"cust_a", "cust_b"} {
		_, err := admin.CreateCustomer(t.Context(), niyanta.CustomerInput{
			CustomerID: &name, Name: name, Tier: niyanta.TierEnterprise,
		})
		require.NoError(t, err)
		key, err := admin.CreateKey(t.Context(), name, niyanta.KeyInput{Role: niyanta.RoleCustomer})
		require.NoError(t, err)
		owner, err := niyanta.NewClient(server.URL, key.Key)
		require.NoError(t, err)
		defer owner.Close()
		for range 3 {
			made, err := owner.Submit(t.Context(), niyanta.Submission{
				WorkloadType: "count", InputParams: json.RawMessage(`{}`), RunAt: &later,
			}, "")
			require.NoError(t, err)
			want[name] = append(want[name], made.WorkloadID)
		}
		_, err = owner.ListAll(t.Context(), "", niyanta.ListParams{})
		require.ErrorIs(t, err, niyanta.ErrForbidden)
		page, err := owner.List(t.Context(), niyanta.ListParams{Limit: new(1), Offset: new(2)})
		require.NoError(t, err)
		newer, err := owner.List(t.Context(), niyanta.ListParams{CountSince: page.Pagination.NewestCursor})
		require.NoError(t, err)
		require.Equal(t, 2, *newer.Newer)
	}
	ids := func(customer string, p niyanta.ListParams) (found []string) {
		for w, err := range admin.AllWorkloads(t.Context(), customer, p) {
			require.NoError(t, err)
			require.Contains(t, want[w.CustomerID], w.WorkloadID)
			found = append(found, w.WorkloadID)
		}
		return found
	}
	ascending := niyanta.ListParams{Order: new(niyanta.OrderAscending), Limit: new(2)}
	assert.Equal(t, slices.Concat(want["cust_a"], want["cust_b"]), ids("", ascending))
	assert.Equal(t, want["cust_b"], ids("cust_b", ascending))
	assert.Equal(t, want["cust_b"][2:], ids("cust_b", niyanta.ListParams{
		Order: ascending.Order, Offset: new(2), Limit: new(1),
	}))
	page, err := admin.ListAll(t.Context(), "cust_a", niyanta.ListParams{Offset: new(1)})
	require.NoError(t, err)
	assert.Equal(t, 3, *page.Pagination.Total)
	_, err = admin.ListAll(t.Context(), "cust_none", niyanta.ListParams{})
	require.ErrorIs(t, err, niyanta.ErrNotFound)
	_, err = admin.ListAll(t.Context(), "", niyanta.ListParams{CountSince: new("x")})
	require.ErrorIs(t, err, niyanta.ErrInvalidInput)
	_, err = niyanta.Collect(admin.AllWorkloads(t.Context(), "", niyanta.ListParams{CountSince: new("x")}))
	require.ErrorIs(t, err, niyanta.ErrInvalidInput)
	ticket, err := admin.CreateTicket(t.Context())
	require.NoError(t, err)
	assert.NotEmpty(t, ticket.Ticket)
	assert.True(t, ticket.ExpiresAt.After(time.Now()))
	link, err := admin.CreateSignInLink(t.Context())
	require.NoError(t, err)
	assert.NotEmpty(t, link.Code)
	assert.True(t, link.ExpiresAt.After(time.Now()))
}

// paged answers pages of two items; the last one has one. Page n is served at cursor n.
func paged(collection string, pages int) act {
	return func(_ *script, w http.ResponseWriter, r *http.Request) {
		at, next, items := 0, "null", `{"n":1},{"n":2}`
		_, _ = fmt.Sscan(r.URL.Query().Get("cursor"), &at)
		if at < pages-1 {
			next = fmt.Sprintf(`"%d"`, at+1)
		} else {
			items = `{"n":3}`
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{%q:[%s],"pagination":{"limit":2,"has_more":%t,"next_cursor":%s}}`,
			collection, items, next != "null", next)
	}
}

func TestPages_OfEachList_AreReadToTheEnd(t *testing.T) {
	ctx := t.Context()
	for name, count := range map[string]func(c *niyanta.Client) int{
		"workloads": func(c *niyanta.Client) int {
			return lengthOf(t, c.Workloads(ctx, niyanta.ListParams{})) +
				lengthOf(t, c.AllWorkloads(ctx, "", niyanta.ListParams{})) - 5
		},
		"configs":   func(c *niyanta.Client) int { return lengthOf(t, c.Configs(ctx)) },
		"customers": func(c *niyanta.Client) int { return lengthOf(t, c.Customers(ctx)) },
		"keys": func(c *niyanta.Client) int {
			return lengthOf(t, c.Keys(ctx, "cust_a")) + lengthOf(t, c.OperatorKeys(ctx)) - 5
		},
		"workers": func(c *niyanta.Client) int { return lengthOf(t, c.Workers(ctx)) },
		"events":  func(c *niyanta.Client) int { return lengthOf(t, c.Audit(ctx, "wl_1")) },
	} {
		assert.Equal(t, 5, count(play(t, paged(name, 3)).client(t)), name)
	}
}

func lengthOf[T any](t *testing.T, items func(func(T, error) bool)) int {
	t.Helper()
	all, err := niyanta.Collect(items)
	require.NoError(t, err)
	return len(all)
}

func TestPages_WhenAPageFails_EndWithTheError(t *testing.T) {
	s := play(t, paged("workers", 3), cutWithin, paged("workers", 3), missing)
	n := 0
	var last error
	for _, err := range s.client(t).Workers(t.Context()) {
		if last = err; err == nil {
			n++
		}
	}
	assert.Equal(t, 4, n, "a cut answer is asked for again")
	require.ErrorIs(t, last, niyanta.ErrNotFound)
}

func TestPages_WhenTheServerRepeatsItself_End(t *testing.T) {
	s := play(t, func(_ *script, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"workers":[{}],"pagination":{"limit":1,"has_more":true,"next_cursor":"same"}}`)
	})
	_, err := niyanta.Collect(s.client(t).Workers(t.Context()))
	require.ErrorContains(t, err, "the same")
}

func TestLogLines_ReadOnToTheEnd(t *testing.T) {
	s := play(t, func(_ *script, w http.ResponseWriter, r *http.Request) {
		after := 0
		_, err := fmt.Sscan(r.URL.Query().Get("after"), &after)
		assert.NoError(t, err, "from the first line on, not the newest ones") //nolint:testifylint // in a goroutine
		_, _ = fmt.Fprintf(w, `{"workload_id":"wl_1","has_more":%t,"logs":[{"seq":%d},{"seq":%d}]}`,
			after < 8, after+1, after+2)
	})
	var seqs []int64
	for l, err := range s.client(t).LogLines(t.Context(), "wl_1", niyanta.LogParams{}) {
		require.NoError(t, err)
		seqs = append(seqs, l.Seq)
	}
	assert.Equal(t, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, seqs)
}
