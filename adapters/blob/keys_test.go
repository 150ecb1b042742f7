package blob

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stub is a place in which keys are found, or not.
type stub struct {
	now   func() time.Time
	has   credentials.Value
	err   error
	asked int
	ctx   context.Context // of the last call
}

// Retrieve implements credentials.Provider.
func (s *stub) Retrieve() (credentials.Value, error) { return s.RetrieveWithCredContext(nil) }

// RetrieveWithCredContext implements credentials.Provider.
func (s *stub) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	s.asked++
	s.ctx = cc.Context
	return s.has, s.err
}

// IsExpired implements credentials.Provider: a minute before the end.
func (s *stub) IsExpired() bool { return !s.now().Before(s.has.Expiration.Add(-time.Minute)) }

// TestKeys_WhenNoneAreFound_AreTheLastWhileTheseAreValid follows keys to their end and beyond.
func TestKeys_WhenNoneAreFound_AreTheLastWhileTheseAreValid(t *testing.T) {
	clock := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { return clock }
	end := clock.Add(10 * time.Minute)
	first := &stub{now: now, err: errors.New("not here")}
	second := &stub{now: now, has: credentials.Value{AccessKeyID: "a", SecretAccessKey: "1", Expiration: end}}
	third := &stub{now: now, has: credentials.Value{AccessKeyID: "c", SecretAccessKey: "3"}, err: errors.New("away")}
	k := &keys{now: now, places: []place{{"1", first}, {"2", second}, {"3", third}}}
	c := credentials.New(k)
	get := func(ctx context.Context) (string, error) {
		v, err := c.GetWithContext(&credentials.CredContext{Context: ctx})
		return v.AccessKeyID, err
	}
	is := func(want string, asked int) {
		t.Helper()
		got, err := get(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, asked, second.asked)
	}
	is("a", 1)
	is("a", 1)
	second.err = errors.New("broken")
	clock = end.Add(-time.Minute)
	is("a", 2) // due, and broken
	_, bounded := second.ctx.Deadline()
	assert.True(t, bounded, "requests wait for the search")
	is("a", 2)
	clock = clock.Add(keptPause)
	is("a", 3)
	third.err = nil
	clock = clock.Add(keptPause)
	is("a", 4) // keys of another place may have other rights
	assert.Zero(t, third.asked)
	third.err = errors.New("away")

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	clock = end
	_, err := get(canceled)
	require.Error(t, err)
	_, err = get(t.Context())
	require.ErrorContains(t, err, "1: not here; 2: broken; 3: away")
	require.Equal(t, 6, second.asked, "the end of a request says nothing about the next")
	_, err = get(t.Context())
	require.Error(t, err)
	require.Equal(t, 6, second.asked, "no request waits for a search so soon after one")

	clock = clock.Add(failPause)
	second.err, second.has.AccessKeyID, second.has.Expiration = nil, "b", clock.Add(time.Hour)
	is("b", 7)

	clock = clock.Add(2 * time.Hour)
	second.err, third.err = errors.New("broken"), nil
	is("c", 8)
	third.err = errors.New("away")
	clock = clock.Add(keptFor - time.Second)
	is("c", 9) // has no end
	clock = clock.Add(time.Second)
	_, err = get(t.Context())
	require.Error(t, err)
}
