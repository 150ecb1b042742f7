package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/contracttests/netfault"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// counting counts what it is told.
type counting struct {
	ports.Observer
	mu     sync.Mutex
	counts map[string]int
}

func (c *counting) Count(name string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[name] += n
}

func (c *counting) of(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[name]
}

// processes are processes that share a database and hear of each other.
type processes struct {
	*testing.T
	url      string
	observer *counting
	open     []*postgres.Hints
}

func newProcesses(t *testing.T) *processes {
	t.Helper()
	c := servers.SharedPostgres(t, prepare)
	return &processes{T: t, url: c.URL(c.Database(t)), observer: &counting{counts: map[string]int{}}}
}

// start starts a process and waits until all know each other and what each is there for.
func (p *processes) start(change ...func(*postgres.Options, *postgres.HintOptions)) *postgres.Hints {
	p.Helper()
	so := postgres.Options{URL: p.url, Log: silent}
	ho := postgres.HintOptions{
		Name: fmt.Sprintf("p%d", len(p.open)), Local: contracttests.NewLocalHints(), Observer: p.observer, Log: silent,
	}
	for _, f := range change {
		f(&so, &ho)
	}
	s, err := postgres.Open(p.Context(), so)
	require.NoError(p, err)
	p.Cleanup(s.Close)
	h, err := s.OpenHints(p.Context(), ho)
	require.NoError(p, err)
	p.Cleanup(h.Close)
	p.open = append(p.open, h)
	require.Eventually(p, p.settled, 30*time.Second, time.Millisecond)
	return h
}

// settled reports whether each process hears itself and knows all others.
func (p *processes) settled() bool {
	for _, h := range p.open {
		if h.Ping(p.Context()) != nil || postgres.Peers(h) != len(p.open)-1 {
			return false
		}
		for _, other := range p.open {
			if other != h && !postgres.Know(h, other) {
				return false
			}
		}
	}
	return true
}

func TestHints_OverTheDatabase_KeepTheirContract(t *testing.T) {
	contracttests.Run(t, "Notifier", "postgres", contracttests.NotifierCases(),
		func(t *testing.T) contracttests.NotifierHarness {
			p := newProcesses(t)
			return contracttests.NotifierHarness{Bare: true, Open: func() (ports.Notifier, ports.Listener) {
				h := p.start()
				return h, h
			}}
		})
}

// listener listens to the channel as another process would, and returns the payloads.
func (p *processes) listener() func() []string {
	p.Helper()
	ctx, stop := context.WithCancel(context.Background())
	conn, err := pgx.Connect(ctx, p.url)
	require.NoError(p, err)
	var channel string
	require.NoError(p, conn.QueryRow(ctx, "SELECT "+postgres.HintChannel).Scan(&channel))
	_, err = conn.Exec(ctx, "LISTEN "+channel)
	require.NoError(p, err)
	var mu sync.Mutex
	var got []string
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			n, err := conn.WaitForNotification(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			got = append(got, n.Payload)
			mu.Unlock()
		}
	})
	p.Cleanup(func() { stop(); wg.Wait(); _ = conn.Close(context.Background()) })
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), got...)
	}
}

func containing(payloads []string, text string) (n int) {
	for _, p := range payloads {
		if strings.Contains(p, text) {
			n++
		}
	}
	return n
}

func TestHints_WhileNoOtherProcessIsThere_SendNothingButPresence(t *testing.T) {
	p := newProcesses(t)
	heard := p.listener()
	a := p.start()
	a.Wake(t.Context(), "alone")
	a.Command(t.Context(), "w", ports.Command{Kind: ports.CommandDrain})
	b := p.start()
	a.Wake(t.Context(), "together")
	require.Eventually(t, func() bool { return containing(heard(), "together") == 1 }, 30*time.Second, time.Millisecond)
	assert.Zero(t, containing(heard(), "alone"))
	assert.Zero(t, containing(heard(), string(ports.CommandDrain)))
	b.Close()
	require.Eventually(t, func() bool { return postgres.Peers(a) == 0 }, 30*time.Second, time.Millisecond,
		"who leaves says so")
}

func TestHints_WhileNobodyFollowsElsewhere_SendNoUpdates(t *testing.T) {
	p := newProcesses(t)
	heard := p.listener()
	a, b := p.start(), p.start()
	update := func(id string) { a.Updated(t.Context(), ports.Update{WorkloadID: domain.WorkloadID(id)}) }
	update("wl_unseen")
	a.Wake(t.Context(), "done")
	require.Eventually(t, func() bool { return containing(heard(), "done") == 1 }, 30*time.Second, time.Millisecond)
	assert.Zero(t, containing(heard(), "wl_unseen"))
	got := make(chan domain.WorkloadID, 100)
	sub, err := b.Updates(t.Context(), ports.FollowedWorkload("wl_seen"), func(u ports.Update) { got <- u.WorkloadID })
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Close()) }()
	require.Eventually(t, func() bool {
		update("wl_seen")
		select {
		case id := <-got:
			return id == "wl_seen"
		case <-time.After(5 * time.Millisecond):
			return false
		}
	}, 30*time.Second, time.Millisecond, "from the first follower on they are sent")
}

func TestHints_WhenManyAreSentAtOnce_AllArriveInOrder(t *testing.T) {
	p := newProcesses(t)
	a, b := p.start(), p.start()
	const n = 3_000
	got := make(chan int64, n)
	_, err := b.Commands(t.Context(), "w", func(c ports.Command) { got <- c.Generation })
	require.NoError(t, err)
	commands := make([]ports.Command, n)
	for i := range commands {
		commands[i] = ports.Command{
			Kind: ports.CommandAssign, SessionID: "s", WorkloadID: "wl_1", Generation: int64(i),
			Assignment: &ports.Assignment{Input: domain.JSON(`"` + strings.Repeat("x", 10_000) + `"`)},
		}
	}
	a.Command(t.Context(), "w", commands...)
	for i := range int64(n) {
		select {
		case g := <-got:
			require.Equal(t, i, g)
		case <-time.After(30 * time.Second):
			require.Fail(t, "lost", "%d", i)
		}
	}
	require.NotNil(t, commands[0].Assignment, "the caller's commands stay as they are")
}

func TestHints_WhenOneDoesNotFit_IsCountedAndTheOthersArrive(t *testing.T) {
	p := newProcesses(t)
	a, b := p.start(), p.start()
	got := make(chan string, 10)
	_, err := b.Commands(t.Context(), "w", func(c ports.Command) { got <- c.Reason })
	require.NoError(t, err)
	a.Command(t.Context(), "w", ports.Command{Reason: strings.Repeat("x", 8_000)}, ports.Command{Reason: "fits"})
	require.Equal(t, "fits", <-got)
	require.Equal(t, 1, p.observer.of("hint_dropped"))
}

func TestHints_WhenTheConnectionBreaks_ListenAgainAndWakeTheLoops(t *testing.T) {
	p := newProcesses(t)
	c := servers.SharedPostgres(t, prepare)
	proxy := netfault.NewProxy(t, c.Port)
	woken := make(chan string, 100)
	local := contracttests.NewLocalHints()
	_, err := local.Wakes(t.Context(), func(r string) { woken <- r })
	require.NoError(t, err)
	b := p.start(func(_ *postgres.Options, ho *postgres.HintOptions) {
		ho.Local = local
		ho.URL = strings.Replace(p.url, fmt.Sprintf(":%d/", c.Port), fmt.Sprintf(":%d/", proxy.Port), 1)
	})
	a := p.start()
	require.Equal(t, postgres.WakeMissed, <-woken)
	require.NoError(t, b.Ping(t.Context()))
	proxy.Cut()
	select {
	case reason := <-woken:
		require.Equal(t, postgres.WakeMissed, reason, "it listens again, and may have missed something")
	case <-time.After(30 * time.Second):
		require.Fail(t, "it does not listen again")
	}
	require.Eventually(t, func() bool {
		a.Wake(t.Context(), "after") // is not sent while a takes b for gone
		select {
		case reason := <-woken:
			assert.Contains(t, []string{"after", postgres.WakeMissed}, reason)
			return reason == "after"
		case <-time.After(50 * time.Millisecond):
			return false
		}
	}, 30*time.Second, time.Millisecond)
}

// A process that stood still, or whose network did, has not heard itself either. Its connection did
// work, unlike one through a pooler. So it listens again at once.
func TestHints_WhenTheConnectionFallsSilent_ListenAgainWithoutWaiting(t *testing.T) {
	p := newProcesses(t)
	c := servers.SharedPostgres(t, prepare)
	proxy := netfault.NewProxy(t, c.Port)
	b := p.start(func(_ *postgres.Options, ho *postgres.HintOptions) {
		ho.URL = strings.Replace(p.url, fmt.Sprintf(":%d/", c.Port), fmt.Sprintf(":%d/", proxy.Port), 1)
	})
	require.NoError(t, b.Ping(t.Context()))
	require.Equal(t, 1, proxy.Silence())
	require.Eventually(t, func() bool { return b.Ping(t.Context()) != nil }, 30*time.Second, 20*time.Millisecond,
		"it notices")
	require.Eventually(t, func() bool { return b.Ping(t.Context()) == nil }, 20*time.Second, 20*time.Millisecond,
		"it does not wait for a minute")
}

// A pooler in transaction mode gives what listens to another client. What is sent through it
// arrives all the same.
func TestHints_BehindAPooler_AreSentThroughItAndHeardBesideIt(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	db := c.Database(t)
	p := &processes{T: t, url: c.Pooler(t, db), observer: &counting{counts: map[string]int{}}}
	assert.True(t, postgres.Pooled(p.url))
	assert.False(t, postgres.Pooled(c.URL(db)))
	beside := func(_ *postgres.Options, ho *postgres.HintOptions) { ho.URL = c.URL(db) }
	a, b := p.start(beside), p.start(beside)
	got := make(chan string, 10)
	_, err := b.Wakes(t.Context(), func(r string) { got <- r })
	require.NoError(t, err)
	a.Wake(t.Context(), "through")
	require.Equal(t, "through", <-got)
}

func TestHints_WhenNothingComesBack_SayThatTheyDoNotWork(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	s := open(t, c.URL(c.Database(t)))
	elsewhere := c.URL(c.Database(t)) // as deaf as a connection through a pooler
	h, err := s.OpenHints(t.Context(), postgres.HintOptions{
		Name: "p", URL: elsewhere,
		Local: contracttests.NewLocalHints(), Observer: &counting{counts: map[string]int{}}, Log: silent,
	})
	require.NoError(t, err)
	defer h.Close()
	require.Error(t, h.Ping(t.Context()))
}

func TestHints_WithAPayloadThatCannotBeRead_GoOn(t *testing.T) {
	p := newProcesses(t)
	a, b := p.start(), p.start()
	got := make(chan string, 10)
	_, err := b.Wakes(t.Context(), func(r string) { got <- r })
	require.NoError(t, err)
	for _, bad := range []string{"", "{", `{"f":"p0","c":[7],"u":["x"]}`} {
		conn, err := pgx.Connect(t.Context(), p.url)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "SELECT pg_notify("+postgres.HintChannel+", $1)", bad)
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
	}
	a.Wake(t.Context(), "good")
	require.Equal(t, "good", <-got)
	require.Eventually(t, func() bool { return p.observer.of("bus_message_bad") >= 4 }, 30*time.Second, time.Millisecond)
}
