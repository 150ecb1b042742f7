package redis_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/certificates"
	"github.com/niyanta/niyanta/adapters/redis"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
)

func TestConnect_WithTLS_UsesTheFilesOfItsSource(t *testing.T) {
	a, other := testfiles.NewAuthority(t), testfiles.NewAuthority(t)
	s := servers.StartRedisWithTLS(t, a)
	shown := a.Issue(t, "client")
	ping := func(scheme string, f certificates.Files) error {
		source, err := certificates.Open(f, silent)
		require.NoError(t, err)
		c, err := redis.Connect(fmt.Sprintf("%s://127.0.0.1:%d/0", scheme, s.Port), source.Client)
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		return c.Ping(t.Context()).Err()
	}
	require.NoError(t, ping("rediss", certificates.Files{CA: a.CA, Cert: shown.Cert, Key: shown.Key}))
	require.Error(t, ping("rediss", certificates.Files{CA: a.CA}), "without a certificate")
	require.ErrorContains(t, ping("rediss", certificates.Files{CA: other.CA, Cert: shown.Cert, Key: shown.Key}),
		"unknown authority")
	assert.Error(t, ping("redis", certificates.Files{CA: a.CA, Cert: shown.Cert, Key: shown.Key}), "without TLS")
}
