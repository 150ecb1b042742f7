package testfiles_test

import (
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

func TestDeadAddress_RefusesConnectionsAndListeners(t *testing.T) {
	addr := testfiles.DeadAddress(t)
	_, err := net.Dial("tcp", addr)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	_, err = net.Listen("tcp", addr)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
}

func TestOwnHost_CanBeListenedOn(t *testing.T) {
	l, err := net.Listen("tcp", net.JoinHostPort(testfiles.OwnHost(), "0"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
}
