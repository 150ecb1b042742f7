package niyanta_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestClient_WhenRefused_ReturnsATypedError(t *testing.T) {
	server := exampleServer()
	client, err := niyanta.NewClient(server.URL, server.CustomerKey, niyanta.RetryFor(0))
	require.NoError(t, err)
	defer client.Close()
	sleep := niyanta.Submission{WorkloadType: "sleep", InputParams: json.RawMessage(`{"duration_ms":1}`)}
	refused := func(want error, call func() error) *niyanta.Error {
		t.Helper()
		err := call()
		require.ErrorIs(t, err, want)
		var e *niyanta.Error
		require.ErrorAs(t, err, &e)
		return e
	}
	e := refused(niyanta.ErrNotFound, func() error { _, err := client.Get(t.Context(), "wl_none"); return err })
	assert.NotEmpty(t, e.RequestID)
	require.NotErrorIs(t, e, niyanta.ErrConflict)
	e = refused(niyanta.ErrInvalidInput, func() error {
		bad := sleep
		bad.Priority = new(int)
		*bad.Priority = 5000
		_, err := client.Submit(t.Context(), bad, "")
		return err
	})
	assert.Equal(t, "priority", e.Field)
	refused(niyanta.ErrInvalidInput, func() error {
		_, err := client.Submit(t.Context(), niyanta.Submission{WorkloadType: "sleep",
			InputParams: json.RawMessage(`{`)}, "")
		return err
	})
	refused(niyanta.ErrForbidden, func() error { _, err := niyanta.Collect(client.Customers(t.Context())); return err })
	refused(niyanta.ErrConflict, func() error {
		_, err := client.Submit(t.Context(), sleep, "once")
		require.NoError(t, err)
		other := sleep
		other.InputParams = json.RawMessage(`{"duration_ms":2}`)
		_, err = client.Submit(t.Context(), other, "once")
		return err
	})
	require.NoError(t, server.Close())
	e = refused(niyanta.ErrUnavailable, func() error { _, err := client.Get(t.Context(), "wl_none"); return err })
	require.Error(t, e.Cause)
	assert.Empty(t, e.RequestID)
}

func TestClientList_WithFilters_SendsEachOfThem(t *testing.T) {
	server := exampleServer()
	defer func() { assert.NoError(t, server.Close()) }()
	client, err := niyanta.NewClient(server.URL, server.CustomerKey)
	require.NoError(t, err)
	defer client.Close()
	for _, kind := range []string{"a", "b"} {
		_, err := client.Submit(t.Context(), niyanta.Submission{
			WorkloadType: kind, InputParams: json.RawMessage(`{}`), Labels: &map[string]string{"kind": kind},
		}, "")
		require.NoError(t, err)
	}
	count := func(p niyanta.ListParams) int {
		t.Helper()
		page, err := client.List(t.Context(), p)
		require.NoError(t, err)
		return len(page.Workloads)
	}
	one, order, by := 1, niyanta.OrderAscending, niyanta.OrderByCreatedAt
	assert.Equal(t, 2, count(niyanta.ListParams{Status: &[]niyanta.Status{niyanta.StatusPending,
		niyanta.StatusRunning}}))
	assert.Equal(t, 0, count(niyanta.ListParams{Status: &[]niyanta.Status{niyanta.StatusCompleted}}))
	assert.Equal(t, 1, count(niyanta.ListParams{WorkloadType: &[]string{"a"}[0]}))
	assert.Equal(t, 1, count(niyanta.ListParams{Label: &[]string{"kind=b"}}))
	page, err := client.List(t.Context(), niyanta.ListParams{Limit: &one, Order: &order, OrderBy: &by})
	require.NoError(t, err)
	require.Len(t, page.Workloads, 1)
	assert.Equal(t, "a", page.Workloads[0].WorkloadType)
	assert.Equal(t, 1, count(niyanta.ListParams{Limit: &one, Order: &order, OrderBy: &by,
		Cursor: page.Pagination.NextCursor}))
}

func ExampleError() {
	server := exampleServer()
	defer func() { _ = server.Close() }()
	client, err := niyanta.NewClient(server.URL, server.CustomerKey)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	_, err = client.Get(context.Background(), "wl_unknown")
	fmt.Println(errors.Is(err, niyanta.ErrNotFound))
	_, err = client.Submit(context.Background(), niyanta.Submission{WorkloadType: "count"}, "")
	var refused *niyanta.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Code, refused.Field)
	}
	// Output:
	// true
	// INVALID_INPUT input_params
}
