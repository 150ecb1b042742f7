package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/contracttests/servers"
)

// cpuProfile is how long processor time is sampled. The drain must last longer.
const cpuProfile = 5 * time.Second

// profile drains count workloads with a Niyanta and writes into the folder dir where the time goes:
// cpu.pprof and allocs.pprof of the coordinator or server, and statements.txt of the database.
func (n *niyanta) profile(ctx context.Context, count int, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	port, err := servers.FreePort()
	if err != nil {
		return err
	}
	n.adminPort = port
	s, err := n.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if err := batches(ctx, count, s.submitBatch); err != nil {
		return err
	}
	if n.server {
		s.coordinator.stop()
		s.coordinator = nil
	}
	for _, statement := range []string{
		"CREATE EXTENSION pg_stat_statements", "SELECT pg_stat_statements_reset()",
	} {
		if _, err := s.db.Exec(ctx, statement); err != nil {
			return err
		}
	}
	before := s.used()
	if err := s.work(); err != nil {
		return err
	}
	cpu := make(chan error, 1)
	go func() {
		cpu <- s.save(ctx, fmt.Sprintf("profile?seconds=%d", int(cpuProfile.Seconds())), filepath.Join(dir, "cpu.pprof"))
	}()
	if err := errors.Join(s.settle(ctx), <-cpu); err != nil {
		return err
	}
	spent := s.used() - before
	if err := s.save(ctx, "allocs", filepath.Join(dir, "allocs.pprof")); err != nil {
		return err
	}
	text, err := s.statements(ctx, count)
	if err != nil {
		return err
	}
	_, scheduled, completed, err := s.check(ctx, count)
	if err != nil {
		return err
	}
	text = fmt.Sprintf("%s drained %d workloads at %.0f per second, for %.0f us of processor time each.\n\n%s", n.name(),
		count, float64(count)/completed.Sub(scheduled).Seconds(), float64(spent.Microseconds())/float64(count), text)
	fmt.Print(text)
	return os.WriteFile(filepath.Join(dir, "statements.txt"), []byte(text), 0o644)
}

// save writes a profile of the coordinator into a file.
func (s *set) save(ctx context.Context, profile, file string) (err error) {
	url := fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/%s", s.n.adminPort, profile)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, res.Body)
	return errors.Join(err, f.Close())
}

// statements is a table of the statements of the drain, the most expensive first.
func (s *set) statements(ctx context.Context, count int) (string, error) {
	rows, err := s.db.Query(ctx, `SELECT calls, rows, total_exec_time * 1000 / $1::float8, wal_bytes::float8 / $1::float8,
		left(regexp_replace(query, '\s+', ' ', 'g'), 120)
		FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
		ORDER BY total_exec_time DESC LIMIT 40`, count)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%8s %9s %12s %12s  %s\n", "calls", "rows", "us each", "WAL B each", "statement")
	var calls, affected int64
	var micros, wal, total float64
	var query string
	_, err = pgx.ForEachRow(rows, []any{&calls, &affected, &micros, &wal, &query}, func() error {
		total += micros
		_, err := fmt.Fprintf(&b, "%8d %9d %12.1f %12.0f  %s\n", calls, affected, micros, wal, query)
		return err
	})
	fmt.Fprintf(&b, "together %22.1f\n", total)
	return b.String(), err
}
