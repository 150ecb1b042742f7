package tenancy_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/tenancy"
)

// hand is a clock that the test moves.
type hand struct{ now time.Time }

func (h *hand) Now() time.Time { return h.now }

// slowKeys holds a read between the storage and the caller if the test says so.
type slowKeys struct {
	ports.KeyStore
	reads   atomic.Int32 // how often it was asked
	held    atomic.Bool
	read    chan struct{} // receives one when the storage has answered a held read
	release chan struct{}
}

func (k *slowKeys) ByPrefix(ctx context.Context, prefixes ...string) ([]ports.FoundKey, error) {
	k.reads.Add(1)
	found, err := k.KeyStore.ByPrefix(ctx, prefixes...)
	if k.held.Load() {
		k.read <- struct{}{}
		<-k.release
	}
	return found, err
}

// place is a storage with its clock.
type place struct {
	t     *testing.T
	clock *hand
	store ports.Stores
	keys  *slowKeys
}

func newPlace(t *testing.T) *place {
	t.Helper()
	clock := &hand{time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	s := memory.NewStore(clock).Stores()
	_, err := s.Customers.Create(t.Context(), domain.Customer{ID: "cust_a", Name: "A", Tier: domain.TierFree},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	return &place{t, clock, s, &slowKeys{KeyStore: s.Keys, read: make(chan struct{}), release: make(chan struct{})}}
}

// coordinator returns the service of a coordinator on the storage, with a clock of its own.
func (p *place) coordinator(clock ports.Clock) *tenancy.Service {
	return tenancy.New(tenancy.Config{AdminKey: "admin", WorkerKeys: []string{"old", "new"}}, tenancy.Deps{
		Customers: p.store.Customers, Keys: p.keys, Limiter: memory.NewRateLimiter(p.clock),
		Clock: clock, IDs: system.IDs{},
	})
}

func (p *place) requireWorks(s *tenancy.Service, secret string) {
	p.t.Helper()
	who, err := s.Authenticate(p.t.Context(), secret)
	require.NoError(p.t, err)
	require.Equal(p.t, domain.CustomerID("cust_a"), who.CustomerID)
}

func (p *place) requireEnded(s *tenancy.Service, secret string) {
	p.t.Helper()
	_, err := s.Authenticate(p.t.Context(), secret)
	require.Equal(p.t, domain.CodeUnauthorized, domain.CodeOf(err))
}

// another returns a secret that differs from a given one in the last character.
func another(secret string) string {
	if last := len(secret) - 1; secret[last] != 'v' {
		return secret[:last] + "v"
	}
	return secret[:len(secret)-1] + "u"
}

func TestAuthenticate_OfEachKindOfKey_TellsWhoseItIs(t *testing.T) {
	p := newPlace(t)
	s := p.coordinator(p.clock)
	k, secret, err := s.CreateKey(t.Context(), domain.APIKey{CustomerID: "cust_a", Role: domain.RoleViewer},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	who, err := s.Authenticate(t.Context(), secret)
	require.NoError(t, err)
	require.Equal(t, domain.Principal{
		Role: domain.RoleViewer, CustomerID: "cust_a", KeyID: k.ID, KeyPrefix: k.Prefix,
	}, who)
	for key, role := range map[string]domain.Role{
		"admin": domain.RoleAdmin, "old": domain.RoleWorker, "new": domain.RoleWorker,
	} {
		who, err := s.Authenticate(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, role, who.Role)
	}
	for _, bad := range []string{"", "x", another(secret), secret + "0"} {
		p.requireEnded(s, bad)
	}
}

func TestAuthenticate_OfAnOperatorKey_TellsItsIDNameRoleAndWorkers(t *testing.T) {
	p := newPlace(t)
	here, there := p.coordinator(p.clock), p.coordinator(p.clock)
	for _, k := range []domain.APIKey{
		{Role: domain.RoleAdmin, Name: "Ada"}, {Role: domain.RoleAdmin, Name: "Bob",
			ExpiresAt: p.clock.now.Add(time.Hour)},
		{Role: domain.RoleScaler, Name: "keda"}, {Role: domain.RoleWorker, Name: "Rack 7", WorkerIDs: "rack7-*"},
	} {
		made, secret, err := here.CreateKey(t.Context(), k, domain.Admin{KeyID: "key_admin"})
		require.NoError(t, err)
		for _, s := range []*tenancy.Service{here, there} {
			who, err := s.Authenticate(t.Context(), secret)
			require.NoError(t, err)
			require.Equal(t, domain.Principal{
				Role: k.Role, KeyID: made.ID, KeyName: k.Name, KeyPrefix: made.Prefix, WorkerIDs: k.WorkerIDs,
			}, who)
		}
		p.requireEnded(here, another(secret))
		require.NoError(t, here.RevokeKey(t.Context(), "", made.ID, domain.Admin{KeyID: "key_admin"}))
		p.requireEnded(here, secret)
		p.clock.now = p.clock.now.Add(2 * time.Second)
		p.requireEnded(there, secret)
	}
	list, err := here.ListKeys(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, list, 4)
	who, err := here.Authenticate(t.Context(), "admin")
	require.NoError(t, err)
	require.Equal(t, domain.KeyAdmin, who.KeyID, "the bootstrap key stays")
}

func TestRevokeKey_WhileTheKeyIsBeingRead_IsNotForgottenAgain(t *testing.T) {
	p := newPlace(t)
	s := p.coordinator(p.clock)
	k, secret, err := s.CreateKey(t.Context(), domain.APIKey{CustomerID: "cust_a", Role: domain.RoleCustomer},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	p.keys.held.Store(true)
	answered := make(chan error, 1)
	go func() {
		_, err := s.Authenticate(context.Background(), secret)
		answered <- err
	}()
	<-p.keys.read // it has read the key while that was good
	require.NoError(t, s.RevokeKey(t.Context(), "cust_a", k.ID, domain.Admin{KeyID: "key_admin"}))
	p.keys.held.Store(false)
	close(p.keys.release)
	require.NoError(t, <-answered, "it was answered as of when it was asked")
	p.requireEnded(s, secret)
}

func TestRevokeKey_OnAnotherCoordinator_EndsTheKeyWithinTwoSeconds(t *testing.T) {
	p := newPlace(t)
	here, there := p.coordinator(p.clock), p.coordinator(p.clock)
	k, secret, err := here.CreateKey(t.Context(), domain.APIKey{CustomerID: "cust_a", Role: domain.RoleCustomer},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	p.requireWorks(there, secret)
	require.NoError(t, here.RevokeKey(t.Context(), "cust_a", k.ID, domain.Admin{KeyID: "key_admin"}))
	p.requireEnded(here, secret)
	p.clock.now = p.clock.now.Add(2 * time.Second)
	p.requireEnded(there, secret)
}

func TestAuthenticate_WhenTheCoordinatorsClockIsWrong_GoesByTheStores(t *testing.T) {
	for name, off := range map[string]time.Duration{"fast": 24 * time.Hour, "slow": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			own := &hand{p.clock.now.Add(off)}
			s := p.coordinator(own)
			move := func(d time.Duration) { p.clock.now, own.now = p.clock.now.Add(d), own.now.Add(d) }
			_, secret, err := s.CreateKey(t.Context(), domain.APIKey{
				CustomerID: "cust_a", Role: domain.RoleViewer, ExpiresAt: p.clock.now.Add(time.Hour),
			}, domain.Admin{KeyID: "key_admin"})
			require.NoError(t, err)
			p.requireWorks(s, secret)
			move(time.Hour - time.Second)
			p.requireWorks(s, secret)
			move(time.Second)
			p.requireEnded(s, secret) // although it was read a second ago
			_, _, err = s.CreateKey(t.Context(), domain.APIKey{
				CustomerID: "cust_a", Role: domain.RoleViewer, ExpiresAt: p.clock.now,
			}, domain.Admin{KeyID: "key_admin"})
			require.Equal(t, domain.CodeInvalidInput, domain.CodeOf(err))
			_, _, err = s.CreateKey(t.Context(), domain.APIKey{
				CustomerID: "cust_a", Role: domain.RoleViewer, ExpiresAt: p.clock.now.Add(time.Minute),
			}, domain.Admin{KeyID: "key_admin"})
			require.NoError(t, err)
		})
	}
}

func TestAllow_ForEveryRole_SaysWhatItsLimitIs(t *testing.T) {
	p := newPlace(t)
	s := p.coordinator(p.clock)
	d, limits, err := s.Allow(t.Context(), domain.Principal{Role: domain.RoleViewer, CustomerID: "cust_a"}, 1)
	require.NoError(t, err)
	require.True(t, d.Allowed)
	require.Equal(t, domain.TierFree.Limits(), limits)
	require.Equal(t, limits.Burst-1, d.Remaining)
	highest := domain.TierEnterprise.Limits()
	for key, role := range map[domain.KeyID]domain.Role{
		"admin": domain.RoleAdmin, "key_b": domain.RoleAdmin, "key_c": domain.RoleScaler,
	} {
		d, limits, err = s.Allow(t.Context(), domain.Principal{Role: role, KeyID: key}, highest.Burst)
		require.NoError(t, err)
		require.True(t, d.Allowed, "each key has a rate for itself")
		require.Equal(t, highest, limits)
		require.Zero(t, d.Remaining)
	}
	d, _, err = s.Allow(t.Context(), domain.Principal{Role: domain.RoleAdmin, KeyID: "admin"}, 1)
	require.NoError(t, err)
	require.False(t, d.Allowed)
	for range 2 {
		d, limits, err = s.Allow(t.Context(), domain.Principal{Role: domain.RoleWorker, KeyID: "worker"}, 1_000_000)
		require.NoError(t, err)
		require.True(t, d.Allowed, "workers are not limited")
		require.Equal(t, limits.Burst, d.Remaining)
	}
	d, _, err = s.Allow(t.Context(), domain.Principal{Role: domain.RoleCustomer, CustomerID: "cust_a"}, 1000)
	require.NoError(t, err)
	require.False(t, d.Allowed, "the keys of a customer share its rate")
	p.clock.now = p.clock.now.Add(time.Second)
	d, _, err = s.Allow(t.Context(), domain.Principal{Role: domain.RoleCustomer, CustomerID: "cust_a"}, 1000)
	require.NoError(t, err)
	require.True(t, d.Allowed)
	require.Equal(t, 1000*time.Second, d.ResetAfter)
	_, _, err = s.Allow(t.Context(), domain.Principal{Role: domain.RoleCustomer}, 1)
	require.Error(t, err, "nobody's requests are not free of limits")
}

func TestAuthenticate_WhenManyUnknownKeysAreSent_LooksThemUpTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		s := p.coordinator(p.clock)
		k := domain.APIKey{CustomerID: "cust_a", Role: domain.RoleCustomer}
		_, cached, err := s.CreateKey(t.Context(), k, domain.Admin{KeyID: "key_admin"})
		require.NoError(t, err)
		p.requireWorks(s, cached)
		_, fresh, err := s.CreateKey(t.Context(), k, domain.Admin{KeyID: "key_admin"})
		require.NoError(t, err)
		p.keys.reads.Store(0)

		const strangers = 500
		refused := make(chan error, strangers)
		stranger := func(n int) {
			_, err := s.Authenticate(t.Context(), k.Format([20]byte{byte(n), byte(n >> 8), 1}))
			refused <- err
		}
		p.keys.held.Store(true)
		go stranger(0)
		<-p.keys.read
		p.keys.held.Store(false)
		for n := range strangers - 1 {
			go stranger(n + 1)
		}
		works := make(chan error, 1)
		go func() {
			_, err := s.Authenticate(t.Context(), fresh)
			works <- err
		}()
		synctest.Wait()
		require.EqualValues(t, 1, p.keys.reads.Load(), "one lookup is in progress")
		p.requireWorks(s, cached) // waits for none of them
		close(p.keys.release)
		for range strangers {
			require.Equal(t, domain.CodeUnauthorized, domain.CodeOf(<-refused))
		}
		require.NoError(t, <-works)
		require.EqualValues(t, 2, p.keys.reads.Load(), "those that waited were looked up together")
	})
}
