package crashpoints_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/simulation"
)

func TestMain(m *testing.M) { os.Exit(servers.Run(m, nil)) }

var (
	each = flag.Int("each", 1, "of every kind of boundary, harm the first so many; 0: all")
	at   = flag.Int("at", -1, "harm only this boundary")
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// prepare migrates, and replaces the store's clock by the world's.
func prepare(url string) error {
	if _, err := postgres.MigrateUp(context.Background(), url, silent); err != nil {
		return err
	}
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(context.Background(), `CREATE TABLE test_clock (at timestamptz NOT NULL); INSERT INTO test_clock
    VALUES (now());
 CREATE OR REPLACE FUNCTION niyanta_now() RETURNS timestamptz
    LANGUAGE sql STABLE AS 'SELECT at FROM test_clock'`, pgx.QueryExecModeSimpleProtocol)
	return errors.Join(err, conn.Close(context.Background()))
}

// database is one database, used by one run after the other.
type database struct {
	url    string
	direct *pgxpool.Pool // past every boundary
	set    time.Time     // what its clock was set to
}

func newDatabase(t *testing.T) *database {
	t.Helper()
	c := servers.SharedPostgres(t, prepare)
	d := &database{url: c.SocketURL(c.Database(t))}
	var err error
	d.direct, err = pgxpool.New(t.Context(), d.url)
	require.NoError(t, err)
	t.Cleanup(d.direct.Close)
	return d
}

// empty removes all that the run before has stored.
func (d *database) empty(ctx context.Context) error {
	d.set = time.Time{}
	_, err := d.direct.Exec(ctx, `UPDATE test_clock SET at = '2023-11-14';
 UPDATE leader_lease SET holder = '', lease_until = '-infinity', epoch = 0; DO $$ DECLARE t text; BEGIN
 SELECT string_agg(quote_ident(relname), ', ') INTO t FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
  AND relnamespace = 'public'::regnamespace AND relname NOT IN ('test_clock', 'leader_lease')
  AND relname NOT LIKE '%goose%' AND relname NOT LIKE '%migrations%';
 EXECUTE 'TRUNCATE ' || t; END $$`, pgx.QueryExecModeSimpleProtocol)
	return err
}

// backend gives each coordinator a pool of its own. The first handle is the world's own, which
// nothing harms.
func (d *database) backend(opened *[]*postgres.Store) simulation.Backend {
	return simulation.Backend{Opaque: true, Open: func(w *simulation.World) (ports.Stores, error) {
		o := postgres.Options{URL: d.url + "&default_query_exec_mode=exec", Log: silent, MaxConns: 4}
		if harmed := len(*opened) > 0; harmed {
			dialer := &net.Dialer{}
			o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := dialer.DialContext(ctx, network, address)
				return &boundary{Conn: c, w: w, d: d}, err
			}
		}
		s, err := postgres.Open(context.Background(), o)
		if err != nil {
			return ports.Stores{}, err
		}
		*opened = append(*opened, s)
		return s.Stores(), nil
	}}
}

// boundary is a connection on which every request to the server may be harmed.
type boundary struct {
	net.Conn
	w *simulation.World
	d *database
	// mu guards broken: the driver reads beside a write that takes long.
	mu     sync.Mutex
	broken bool
}

var errHarmed = errors.New("the connection is gone")

// Write implements net.Conn: one request, from the first statement to the last one that is sent
// with it.
func (b *boundary) Write(p []byte) (int, error) {
	if harmed, err := b.pass(request(p), p); harmed || err != nil {
		return 0, cmp.Or(err, errHarmed)
	}
	return b.Conn.Write(p)
}

// pass harms the request if that is its turn. Nobody reads meanwhile.
func (b *boundary) pass(label string, p []byte) (harmed bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken || label == "" { // the handshake, or the end
		return b.broken, nil
	}
	if now := b.w.Now(); !now.Equal(b.d.set) {
		if _, err := b.d.direct.Exec(context.Background(), "UPDATE test_clock SET at = $1", now); err != nil {
			return false, err
		}
		b.d.set = now
	}
	harm := b.w.Boundary(label)
	if harm == simulation.None {
		return false, nil
	}
	b.broken = true
	if harm == simulation.LoseAnswer || harm == simulation.CrashAfter {
		if err := b.execute(p); err != nil {
			return false, err
		}
	}
	_ = b.Close()
	if harm == simulation.CrashBefore || harm == simulation.CrashAfter {
		b.w.Die()
	}
	return true, nil
}

// execute sends the request and reads until the server is ready for the next, so that what it asked
// for has happened.
func (b *boundary) execute(p []byte) error {
	if _, err := b.Conn.Write(p); err != nil {
		return err
	}
	header := make([]byte, 5)
	for {
		if _, err := io.ReadFull(b.Conn, header); err != nil {
			return err
		}
		n := int64(header[1])<<24 | int64(header[2])<<16 | int64(header[3])<<8 | int64(header[4])
		if _, err := io.CopyN(io.Discard, b.Conn, n-4); err != nil {
			return err
		}
		if header[0] == 'Z' {
			return nil
		}
	}
}

// Read implements net.Conn.
func (b *boundary) Read(p []byte) (int, error) {
	b.mu.Lock()
	broken := b.broken
	b.mu.Unlock()
	if broken {
		return 0, errHarmed
	}
	return b.Conn.Read(p)
}

// changes are the words of statements that leave something behind.
var changes = regexp.MustCompile(`\b(INSERT|UPDATE \w+ |DELETE|COMMIT)\b`)

// request names a request by the statements in it; empty for what is none.
func request(p []byte) string {
	if len(p) < 5 || p[0] != 'P' && p[0] != 'Q' {
		return ""
	}
	var names []string
	kind := read
	for len(p) >= 5 {
		n := int(p[1])<<24 | int(p[2])<<16 | int(p[3])<<8 | int(p[4])
		if n < 4 || n+1 > len(p) {
			break
		}
		body := p[5 : n+1]
		if p[0] == 'P' { // its name, which is empty, then its text
			_, body, _ = bytes.Cut(body, []byte{0})
		}
		if p[0] == 'P' || p[0] == 'Q' {
			text, _, _ := bytes.Cut(body, []byte{0})
			if changes.Match(text) {
				kind = write
			}
			s := strings.Join(strings.Fields(string(text)), " ")
			names = append(names, s[:min(len(s), 48)])
		}
		p = p[n+1:]
	}
	if names[0] == "-- ping" {
		return "" // the pool looks whether a connection is good that was idle for a second of real time
	}
	if names[0] == "BEGIN" {
		kind = read // nobody sees it before the request that ends with COMMIT
	}
	return kind + strings.Join(names, "; ")
}

const read, write = "read ", "write "

// chosen are the boundaries to harm. To end before or behind a read is the same as to end before
// the next thing that the process makes visible, so that of reads only the first few of a kind are
// harmed.
func chosen(boundaries []string, each int) []int {
	seen := map[string]int{}
	var out []int
	for i, label := range boundaries {
		seen[label]++
		limit := each
		if each == 0 {
			limit = len(boundaries)
			if strings.HasPrefix(label, read) {
				limit = 3
			}
		}
		if seen[label] <= limit {
			out = append(out, i)
		}
	}
	return out
}

// harms are those that make a difference at a boundary: whether a read was executed that fails, or
// that its process does not survive, nobody can tell.
func harms(label string) []simulation.Harm {
	if strings.HasPrefix(label, read) {
		return []simulation.Harm{simulation.LoseAnswer, simulation.CrashBefore}
	}
	return simulation.Harms
}

// outcome is what one run through the journey gave.
type outcome struct {
	plan   simulation.Plan
	broken []string
	events map[domain.Event]int
	trace  []string
}

func (d *database) run(ctx context.Context, plan simulation.Plan) (outcome, error) {
	if err := d.empty(ctx); err != nil {
		return outcome{}, err
	}
	var opened []*postgres.Store
	w, err := simulation.New(1, simulation.Probabilities{}, d.backend(&opened))
	if err != nil {
		return outcome{}, err
	}
	w.Plan, w.Keep = &plan, true
	w.Journey()
	w.Finish()
	w.Close()
	for _, s := range opened {
		go s.Close() // one whose process has ended in the middle of a query does not give its connection back
	}
	return outcome{plan, w.Broken(), w.Events, w.Trace}, nil
}

func TestJourney_OneHarmAtAnyBoundary_BreaksNothing(t *testing.T) {
	d := newDatabase(t)
	begin := time.Now()
	clean, err := d.run(t.Context(), simulation.Plan{At: -1})
	require.NoError(t, err)
	require.Empty(t, clean.broken)
	for _, r := range domain.Rules() {
		require.Positive(t, clean.events[r.Event],
			"the journey does not meet %s: it has to, for its boundaries to be harmed", r.Event)
	}
	boundaries := clean.plan.Seen
	plans := make(chan simulation.Plan)
	var wg sync.WaitGroup
	var n atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		d := newDatabase(t)
		wg.Go(func() {
			for plan := range plans {
				n.Add(1)
				if o, err := d.run(t.Context(), plan); assert.NoError(t, err) {
					judge(t, boundaries, o)
				}
			}
		})
	}
	k := 0
	for _, i := range chosen(boundaries, *each) {
		for _, harm := range harms(boundaries[i]) {
			if k++; (*at < 0 && k%sampled == 0 || i == *at) && !t.Failed() {
				plans <- simulation.Plan{At: i, Harm: harm}
			}
		}
	}
	close(plans)
	wg.Wait()
	summary := fmt.Sprintf("crash points: %d boundaries of %d kinds, %d of them harmed in %d runs in %s, nothing broken",
		len(boundaries), kinds(boundaries), len(chosen(boundaries, *each)), n.Load(),
		time.Since(begin).Round(time.Second))
	t.Log(summary)
	if path := os.Getenv("NIYANTA_TEST_CRASHPOINTS_SUMMARY"); path != "" && !t.Failed() {
		require.NoError(t, os.WriteFile(path, []byte(summary+"\n"), 0o600))
	}
}

// judge says what is wrong with a run.
func judge(t *testing.T, boundaries []string, o outcome) {
	t.Helper()
	label := boundaries[o.plan.At]
	switch {
	case !o.plan.Done:
		assert.Fail(t, "boundary was not met", "%d, %s", o.plan.At, label)
	case o.plan.Seen[len(o.plan.Seen)-1] != label:
		assert.Fail(t, "boundary is another one than before", "%d, %s, not %s", o.plan.At,
			o.plan.Seen[len(o.plan.Seen)-1], label)
	case len(o.broken) > 0:
		assert.Fail(t, "an invariant is broken",
			"%s at boundary %d, %s:\n%s\nreplay: go test ./simulation/crashpoints -at %d\n%s",
			o.plan.Harm, o.plan.At, label, strings.Join(o.broken, "\n"), o.plan.At, strings.Join(o.trace, "\n"))
	}
}

func kinds(labels []string) int {
	return len(slices.Compact(slices.Sorted(slices.Values(labels))))
}

// TestRequest_OfAPing_IsNoBoundary: how often a pool looks at its connections depends on real time, so
// that a slow machine would shift the boundaries behind it.
func TestRequest_OfAPing_IsNoBoundary(t *testing.T) {
	query := func(text string) []byte {
		return append([]byte{'Q', 0, 0, 0, byte(4 + len(text) + 1)}, append([]byte(text), 0)...)
	}
	assert.Empty(t, request(query("-- ping")))
	assert.Equal(t, read+"SELECT 1", request(query("SELECT 1")))
}
