package http

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErrorCodes_OfRESTAndRPC_AreTheSame(t *testing.T) {
	require.ElementsMatch(t, slices.Collect(maps.Keys(statusOf)), slices.Collect(maps.Keys(rpcCodeOf)))
}

// TestRoutes_WhenAnRPCHasNoOperation_AreIncomplete removes the row of an RPC: the server does not
// start.
func TestRoutes_WhenAnRPCHasNoOperation_AreIncomplete(t *testing.T) {
	s := newSurface(t)
	const key = "POST /niyanta.v1.WorkloadService/GetWorkload"
	require.Contains(t, s.ops, key)
	require.NoError(t, s.ops.complete(s.router))
	delete(s.ops, key)
	require.ErrorContains(t, s.ops.complete(s.router), key)
}
