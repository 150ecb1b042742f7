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
	each   = flag.Int("each", 1, "number of boundaries of each kind to harm, from the first; 0: all")
	at     = flag.Int("at", -1, "harm only the boundary of this number")
	sample = flag.Int("sample", defaultSample, "do only every n-th of the harms")
	only   = flag.String("only", "", "harm only the boundaries whose label matches this regular expression")
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// prepare migrates the database, and replaces its clock by a table that the test sets.
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

// database is a database that is used by one run after the other.
type database struct {
	url    string
	direct *pgxpool.Pool // whose requests are no boundaries
	set    time.Time     // the time on its clock
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

// empty removes the data of the last run.
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

// untraced replaces the tracer of batches. With one, pgx does not let the panic through by which a
// process dies in a write.
type untraced struct{}

func (untraced) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (untraced) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// backend returns a backend that opens a pool for each coordinator. The first pool is the world's
// own, and its requests are no boundaries.
func (d *database) backend(opened *[]*postgres.Store) simulation.Backend {
	traces := func(customer domain.CustomerID, workloads []domain.WorkloadID) (map[string]int, error) {
		return servers.Traces(context.Background(), d.direct, customer, workloads)
	}
	return simulation.Backend{Opaque: true, Traces: traces, Open: func(w *simulation.World) (ports.Stores, error) {
		o := postgres.Options{
			URL: d.url + "&default_query_exec_mode=exec", Log: silent, MaxConns: 4, Trace: untraced{},
		}
		if first := len(*opened) == 0; !first {
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

// boundary is a connection on which every request to the server is a boundary.
type boundary struct {
	net.Conn
	w *simulation.World
	d *database
	// mu guards broken. The driver may read while a write is under way.
	mu     sync.Mutex
	broken bool
}

var errHarmed = errors.New("the connection is gone")

// Write implements net.Conn. p is one request, which may consist of several statements.
func (b *boundary) Write(p []byte) (int, error) {
	if harmed, err := b.harm(request(p), p); harmed || err != nil {
		return 0, cmp.Or(err, errHarmed)
	}
	return b.Conn.Write(p)
}

// harm does the harm to the request if the plan says so, and reports whether it did. It holds the
// mutex, so that the driver does not read the answer.
func (b *boundary) harm(label string, p []byte) (harmed bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken || label == "" { // without a label, p is part of the handshake, or ends the connection
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

// execute sends the request, and reads until the server is ready for the next. By then the request
// has been executed.
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

// changes matches the statements that change data.
var changes = regexp.MustCompile(`\b(INSERT|UPDATE \w+ |DELETE|COMMIT)\b`)

// request returns the label of a request: its kind and its statements. The label is empty if p is
// not a request.
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
		if p[0] == 'P' { // the text follows the name, which is empty
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
		return "" // see TestRequest_OfAPing_IsNoBoundary
	}
	if names[0] == "BEGIN" {
		kind = read // its changes are not visible before the request with the COMMIT
	}
	return kind + strings.Join(names, "; ")
}

const read, write = "read ", "write "

// chosen returns the boundaries to harm: the first each boundaries of every kind, or all with 0. A
// process that ends before or after a read is like one that ends before its next visible effect. So
// even with 0, only the first few reads of a kind are harmed.
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

// harms returns the harms that differ at a boundary. A read has no effect, so it makes no
// difference whether a read that fails was executed.
func harms(label string) []simulation.Harm {
	if strings.HasPrefix(label, read) {
		return []simulation.Harm{simulation.LoseAnswer, simulation.CrashBefore}
	}
	return simulation.Harms
}

// outcome is the outcome of one run.
type outcome struct {
	plan   simulation.Plan
	broken []string
	events map[domain.Event]int
	trace  []string
}

// run runs the journey once.
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
		go s.Close() // blocks for ever if the process has ended during a query, which keeps its connection
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
			"the event %s does not happen in the journey, so its boundaries would not be harmed", r.Event)
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
					check(t, boundaries, o)
				}
			}
		})
	}
	matching, k := regexp.MustCompile(*only), 0
	for _, i := range chosen(boundaries, *each) {
		if !matching.MatchString(boundaries[i]) {
			continue
		}
		for _, harm := range harms(boundaries[i]) {
			if k++; (*at < 0 && k%*sample == 0 || i == *at) && !t.Failed() {
				plans <- simulation.Plan{At: i, Harm: harm}
			}
		}
	}
	close(plans)
	wg.Wait()
	summary := fmt.Sprintf("crash points: %d boundaries of %d kinds, %d of %d harms done in %s, nothing broken",
		len(boundaries), kinds(boundaries), n.Load(), k, time.Since(begin).Round(time.Second))
	t.Log(summary)
	if path := os.Getenv("NIYANTA_TEST_CRASHPOINTS_SUMMARY"); path != "" && !t.Failed() {
		require.NoError(t, os.WriteFile(path, []byte(summary+"\n"), 0o600))
	}
}

// check fails the test if the harm of a run was not done, or if an invariant is broken.
func check(t *testing.T, boundaries []string, o outcome) {
	t.Helper()
	label := boundaries[o.plan.At]
	switch {
	case !o.plan.Done:
		assert.Fail(t, "the run did not reach the boundary", "%d, %s", o.plan.At, label)
	case o.plan.Seen[len(o.plan.Seen)-1] != label:
		assert.Fail(t, "the boundary of this number differs between two runs", "%d: %s, before: %s", o.plan.At,
			o.plan.Seen[len(o.plan.Seen)-1], label)
	case len(o.broken) > 0:
		assert.Fail(t, "an invariant is broken",
			"%s at boundary %d, %s:\n%s\nreplay: go test ./simulation/crashpoints -at %d\n%s",
			o.plan.Harm, o.plan.At, label, strings.Join(o.broken, "\n"), o.plan.At, strings.Join(o.trace, "\n"))
	}
}

// kinds returns the number of different labels.
func kinds(labels []string) int {
	return len(slices.Compact(slices.Sorted(slices.Values(labels))))
}

// A pool pings connections that were idle for a second of real time. If pings were boundaries, the
// numbers of the boundaries would depend on the speed of the machine.
func TestRequest_OfAPing_IsNoBoundary(t *testing.T) {
	query := func(text string) []byte {
		return append([]byte{'Q', 0, 0, 0, byte(4 + len(text) + 1)}, append([]byte(text), 0)...)
	}
	assert.Empty(t, request(query("-- ping")))
	assert.Equal(t, read+"SELECT 1", request(query("SELECT 1")))
}
