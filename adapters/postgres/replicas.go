package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	// lagLimit is how far a replica may be behind and serve.
	lagLimit = 5 * time.Second
	// checkedFor is how long a check of a replica counts. Coordinators check every two seconds.
	checkedFor = 6 * time.Second
	// marksKept bounds the marks that the lag is measured by: half a minute of them.
	marksKept = 16
	// weightLimit bounds the weight of a replica.
	weightLimit = 100
)

// replicas are the read replicas. They serve lists, audit and logs, in proportion to their weights. A
// replica is left out while it does not answer, while it is behind by more than lagLimit, and for a
// customer whose last write it does not have; the primary serves then.
//
// The lag is measured by the presence that the coordinator writes on the primary. A replica that has
// a presence has everything that was committed before that presence was written. So no clocks are
// compared: times of the primary only tell one presence from another, as its clock may go back. A
// replica that was promoted falls behind like one that is paused.
type replicas struct {
	list []*replica

	mu sync.Mutex
	// coordinator is the name under which presence is written.
	coordinator string
	marks       []mark // the newest at the end
	wrote       map[domain.CustomerID]time.Time
	turn        int
}

// mark is a presence on the primary.
type mark struct {
	began time.Time // by the clock of this process, before it was written
	seen  time.Time // by the clock of the primary
}

// replica is one read replica. The mutex of replicas guards its state.
type replica struct {
	*readers
	name   string
	weight int

	checked time.Time // when the last check that succeeded began; zero after a failure
	seen    time.Time // the presence that it had then
	// upTo is until when everything that was committed is on the replica, by the clock of this
	// process.
	upTo time.Time
	lag  time.Duration
}

var betweenURLs = regexp.MustCompile(`\s*,\s*(postgres(?:ql)?://)`)

// splitReplicas splits a list of URLs. A comma separates two only before a scheme: one URL may name
// several hosts. The parameter weight is cut off each.
func splitReplicas(list string) (urls []string, weights []int, err error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil, nil
	}
	for _, one := range strings.Split(betweenURLs.ReplaceAllString(strings.TrimSpace(list), "\n$1"), "\n") {
		weight := 1
		if before, query, has := strings.Cut(one, "?"); has && strings.Contains(query, "weight=") {
			values, err := url.ParseQuery(query)
			if err != nil {
				return nil, nil, errURL
			}
			weight, err = strconv.Atoi(values.Get("weight"))
			if err != nil || weight < 1 || weight > weightLimit {
				return nil, nil, fmt.Errorf("the weight of a replica must be 1 to %d, not %q", weightLimit, values.Get("weight"))
			}
			values.Del("weight")
			one = before + "?" + values.Encode()
		}
		urls, weights = append(urls, one), append(weights, weight)
	}
	return urls, weights, nil
}

// CheckReplicaURLs returns an error that says what is wrong with a list of replicas.
func CheckReplicaURLs(list string) error {
	urls, _, err := splitReplicas(list)
	for _, u := range urls {
		if _, perr := pgxpool.ParseConfig(u); perr != nil && err == nil {
			err = errURL
		}
	}
	return err
}

// openReplicas opens the replicas of the options.
func openReplicas(ctx context.Context, o Options) (*replicas, error) {
	rs := &replicas{wrote: map[domain.CustomerID]time.Time{}}
	urls, weights, err := splitReplicas(o.ReplicaURL)
	for i, u := range urls {
		var pool *pgxpool.Pool
		if pool, err = openPool(ctx, o, u, o.MaxConns, forReading); err != nil {
			break
		}
		rs.list = append(rs.list, &replica{readers: newReaders(pool), name: fmt.Sprint("replica ", i+1), weight: weights[i]})
	}
	if err != nil {
		rs.close()
		return nil, fmt.Errorf("read replica: %w", err)
	}
	return rs, nil
}

func (rs *replicas) close() {
	for _, r := range rs.list {
		r.pool.Close()
	}
}

// mark notes that a presence was written.
func (rs *replicas) mark(coordinator string, began, seen time.Time) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.coordinator = coordinator
	for _, r := range rs.list {
		if r.seen.Equal(seen) { // it was faster than the primary's answer
			r.upTo = began
		}
	}
	if rs.marks = append(rs.marks, mark{began, seen}); len(rs.marks) > marksKept {
		rs.marks = rs.marks[1:]
	}
}

// note records that customers have just written; the empty id stands for what administrators do.
func (rs *replicas) note(customers []domain.CustomerID) {
	if len(rs.list) == 0 || len(customers) == 0 {
		return
	}
	now := time.Now()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, c := range customers {
		rs.wrote[c] = now
	}
}

// check measures how far each replica is behind. It returns an error if one cannot serve.
func (rs *replicas) check(ctx context.Context) error {
	errs := make([]error, len(rs.list))
	var wg sync.WaitGroup
	for i, r := range rs.list {
		wg.Go(func() { errs[i] = rs.checkOne(ctx, r) })
	}
	wg.Wait()
	rs.forget()
	return errors.Join(errs...)
}

func (rs *replicas) checkOne(ctx context.Context, r *replica) error {
	began := time.Now()
	rs.mu.Lock()
	coordinator := rs.coordinator
	rs.mu.Unlock()
	var seen time.Time
	err := r.pool.QueryRow(ctx, "SELECT seen_at FROM presence WHERE coordinator_id = $1::text", coordinator).Scan(&seen)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		r.checked = time.Time{}
		return fmt.Errorf("%s: %w", r.name, err)
	}
	r.checked, r.seen, r.lag = began, seen, 0
	known := slices.IndexFunc(rs.marks, func(m mark) bool { return m.seen.Equal(seen) })
	switch n := len(rs.marks); {
	case known >= 0:
		r.upTo = rs.marks[known].began
	case n == 0 || seen.After(rs.marks[n-1].seen): // the primary's answer is on its way, or was lost
	case !r.upTo.Before(rs.marks[0].began): // it has less than before: the name leads to another server
		r.upTo = time.Time{}
	}
	missing := slices.IndexFunc(rs.marks, func(m mark) bool { return m.began.After(r.upTo) })
	if missing >= 0 {
		r.lag = began.Sub(rs.marks[missing].began)
		if missing == 0 && !r.upTo.IsZero() {
			r.lag = began.Sub(r.upTo) // it is behind by more than the marks tell
		}
	}
	if r.lag > lagLimit {
		return fmt.Errorf("%s is %s behind", r.name, r.lag.Round(time.Millisecond))
	}
	return nil
}

// forget forgets the writes that every replica that answers has, and that one which comes back has if
// it may serve at all.
func (rs *replicas) forget() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	oldest := time.Now().Add(-lagLimit - 2*checkedFor)
	answering := false
	for _, r := range rs.list {
		if time.Since(r.checked) <= checkedFor {
			answering = true
			if r.upTo.Before(oldest) {
				oldest = r.upTo
			}
		}
	}
	for c, at := range rs.wrote {
		if answering && at.Before(oldest) {
			delete(rs.wrote, c)
		}
	}
}

// choose returns a replica that may serve a customer's read, or nil.
func (rs *replicas) choose(customer domain.CustomerID) *replica {
	now := time.Now()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	may := func(r *replica) bool {
		return now.Sub(r.checked) <= checkedFor && !r.upTo.IsZero() && r.lag <= lagLimit &&
			r.upTo.After(rs.wrote[customer])
	}
	total := 0
	for _, r := range rs.list {
		if may(r) {
			total += r.weight
		}
	}
	if total == 0 {
		return nil
	}
	rs.turn++
	n := rs.turn % total
	for _, r := range rs.list {
		if may(r) {
			if n -= r.weight; n < 0 {
				return r
			}
		}
	}
	return nil
}

// leaveOut leaves a replica out until a check succeeds.
func (rs *replicas) leaveOut(r *replica) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r.checked = time.Time{}
}

// lagging returns the largest lag of the replicas that answer. known is false if none answers.
func (rs *replicas) lagging() (lag time.Duration, known bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range rs.list {
		if time.Since(r.checked) <= checkedFor {
			lag, known = max(lag, r.lag), true
		}
	}
	return lag, known
}

// history runs a read of lists, audit or logs on a replica, and on the primary if no replica may
// serve it or if the one that was asked fails.
func history[R any](
	ctx context.Context, s *Store, customer domain.CustomerID,
	read func(ctx context.Context, pool *pgxpool.Pool) (R, error),
) (R, error) {
	if r := s.replicas.choose(customer); r != nil {
		bounded, cancel := context.WithTimeout(ctx, readTimeout/2)
		out, err := on(bounded, r.readers, customer, read)
		late := bounded.Err() != nil
		cancel()
		if !failed(err) || ctx.Err() != nil {
			return out, err
		}
		if !late {
			s.replicas.leaveOut(r)
		}
		s.log.Warn("a read replica failed, the primary is asked", "replica", r.name, "error", err)
	}
	return on(ctx, s.reads, customer, read)
}

// on runs a read on the connections of r when it is the customer's turn.
func on[R any](
	ctx context.Context, r *readers, customer domain.CustomerID,
	read func(ctx context.Context, pool *pgxpool.Pool) (R, error),
) (R, error) {
	return inTurn(ctx, r, customer, func(ctx context.Context) (R, error) { return read(ctx, r.pool) })
}

// failed reports whether err is the replica's, and no answer.
func failed(err error) bool {
	var pg *pgconn.PgError
	var e *domain.Error
	return err != nil && (errors.As(err, &pg) || !errors.As(err, &e) || e.Code == domain.CodeUnavailable)
}

// longHistory is history of one statement.
func longHistory[T any](
	ctx context.Context, s *Store, customer domain.CustomerID, scan pgx.RowToFunc[T], sql string, args ...any,
) ([]T, error) {
	return history(ctx, s, customer, func(ctx context.Context, pool *pgxpool.Pool) ([]T, error) {
		return query(ctx, pool, scan, sql, args...)
	})
}
