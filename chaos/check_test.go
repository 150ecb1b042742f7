package chaos_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/invariants"
	"github.com/niyanta/niyanta/core/domain"
)

// verdict collects violations.
type verdict struct{ violations []string }

// fail records a violation.
func (v *verdict) fail(format string, args ...any) {
	v.violations = append(v.violations, fmt.Sprintf(format, args...))
}

// watchLimits checks until ctx ends that no limit is exceeded (I6). It returns the number of
// checks.
func (f *fleet) watchLimits(ctx context.Context, v *verdict) (looks int) {
	for ctx.Err() == nil {
		sleep(ctx, 200*time.Millisecond)
		var running, most int
		err := f.direct.QueryRow(ctx, `SELECT count(*), coalesce(max(n), 0) FROM
 (SELECT count(*) OVER (PARTITION BY session_id) AS n FROM held) AS h`).Scan(&running, &most)
		if err != nil {
			continue // the database is being broken
		}
		looks++
		if running > runningLimit {
			v.fail("I6: %d run, the limit is %d", running, runningLimit)
		}
		if most > slots {
			v.fail("I6: a session holds %d, it has %d slots", most, slots)
		}
	}
	return looks
}

// finish resumes paused workloads, and waits until every workload is final. It returns the number
// of workloads that are not final after the timeout.
func (f *fleet) finish(ctx context.Context, timeout time.Duration) (left int) {
	until := time.Now().Add(timeout)
	for time.Now().Before(until) {
		rows, err := f.direct.Query(ctx, "SELECT workload_id FROM workloads WHERE status = 'PAUSED'")
		if err == nil {
			paused, _ := pgx.CollectRows(rows, pgx.RowTo[string]) // after an error the next round tries again
			for _, id := range paused {
				f.resume(ctx, id)
			}
		}
		err = f.direct.QueryRow(ctx,
			"SELECT count(*) FROM workloads WHERE status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')").Scan(&left)
		if err == nil && left == 0 {
			return 0
		}
		sleep(ctx, 200*time.Millisecond)
	}
	return left
}

// check compares the clients' history, the tables, the audit and the sink. It returns the number of
// workloads.
func (f *fleet) check(ctx context.Context, h *history, v *verdict) (checked int) {
	store, err := postgres.Open(ctx, postgres.Options{URL: f.pg.SocketURL("postgres"),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		v.fail("the database cannot be read: %v", err)
		return 0
	}
	defer store.Close()
	rows, err := f.direct.Query(ctx, "SELECT workload_id FROM workloads")
	var stored []string
	if err == nil {
		stored, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		v.fail("the database cannot be read: %v", err)
	}
	exists := map[string]bool{}
	for _, id := range stored {
		exists[id] = true
		f.checkWorkload(ctx, store, h, v, domain.WorkloadID(id))
	}
	for key, id := range h.accepted {
		if !exists[id] {
			v.fail("I3: %s (%s) was acknowledged and does not exist", id, key)
		}
	}
	for _, key := range h.conflicts {
		v.fail("I8: key %s was answered with two workloads", key)
	}
	f.checkKeys(ctx, h, v)
	f.checkLeaks(v)
	return len(stored)
}

// checkWorkload checks a workload against its audit trail, the sink and the clients' history.
func (f *fleet) checkWorkload(
	ctx context.Context, store *postgres.Store, h *history, v *verdict, id domain.WorkloadID,
) {
	found, err := store.Stores().Workloads.GetAny(ctx, id)
	if err != nil || len(found) != 1 {
		v.fail("%s cannot be read: %v", id, err)
		return
	}
	w := &found[0]
	trail, err := store.Stores().Audit.Workload(ctx, w.CustomerID, id, 0, 10_000)
	if err != nil {
		v.fail("the trail of %s cannot be read: %v", id, err)
		return
	}
	v.violations = append(v.violations, invariants.Trail(w, trail)...)
	f.sink.mu.Lock()
	defer f.sink.mu.Unlock()
	done := f.sink.done[string(id)]
	if steps := h.steps[string(id)]; w.Status == domain.StatusCompleted && len(done) < steps {
		v.fail("I9: %s completed with %d of %d steps done", id, len(done), steps)
	}
	if g := f.sink.newest[string(id)]; g > w.Generation {
		v.fail("I2: %s had effects at generation %d, its newest is %d", id, g, w.Generation)
	}
	if at, ok := h.cancelled[string(id)]; ok {
		if w.Status != domain.StatusCancelled {
			v.fail("I11: the cancel of %s was acknowledged, it is %s", id, w.Status)
		}
		if late := f.sink.last[string(id)].Sub(at); late > cancelTimeout {
			v.fail("I11: %s had an effect %s after its cancel was acknowledged", id, late)
		}
	}
}

// cancelTimeout is how long a cancelled workload may have effects. A worker that was frozen may
// have one when it wakes up.
const cancelTimeout = 45 * time.Second

// checkKeys checks that each key has one workload, and that each workload was submitted.
func (f *fleet) checkKeys(ctx context.Context, h *history, v *verdict) {
	rows, err := f.direct.Query(ctx, "SELECT idempotency_key, workload_id FROM idempotency_keys")
	if err != nil {
		v.fail("the keys cannot be read: %v", err)
		return
	}
	var key, id string
	keyed := 0
	_, err = pgx.ForEachRow(rows, []any{&key, &id}, func() error {
		keyed++
		if strings.HasPrefix(key, "probe-") {
			return nil
		}
		if !h.attempted[key] {
			v.fail("I3: %s was never submitted", key)
		}
		if got, ok := h.accepted[key]; ok && got != id {
			v.fail("I8: key %s made %s, the client was told %s", key, id, got)
		}
		return nil
	})
	var stored int
	if err == nil {
		err = f.direct.QueryRow(ctx, "SELECT count(*) FROM workloads").Scan(&stored)
	}
	if err != nil || stored != keyed {
		v.fail("I3: %d workloads are stored under %d keys (%v)", stored, keyed, err)
	}
}

var goroutines = regexp.MustCompile(`(?m)^go_goroutines (\d+)`)

// programsLeft returns the command lines of the programs of workloads that run.
func programsLeft(v *verdict) (lines []string) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		v.fail("processes cannot be listed: %v", err)
	}
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && strings.Contains(string(line), marker) {
			lines = append(lines, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return lines
}

// checkLeaks checks that nothing leaks (I14): programs of workloads, goroutines of coordinators.
func (f *fleet) checkLeaks(v *verdict) {
	// A worker learns a moment later that it must end a program: that it has woken up, or of a cancel.
	left := programsLeft(v)
	for end := time.Now().Add(cancelTimeout); len(left) > 0 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		left = programsLeft(v)
	}
	for _, line := range left {
		v.fail("I14: a program is left: %s", line)
	}
	for _, url := range f.urls {
		resp, err := http.Get(url + "/metrics")
		if err != nil {
			v.fail("I14: %s does not answer in the end: %v", url, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		m := goroutines.FindSubmatch(body)
		if err != nil || m == nil {
			v.fail("I14: no goroutines are counted (%v)", err)
			continue
		}
		if n, _ := strconv.Atoi(string(m[1])); n > 500 {
			v.fail("I14: a coordinator at rest has %d goroutines", n)
		}
	}
}
