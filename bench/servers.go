package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/niyanta/niyanta/contracttests/servers"
)

// shared are the servers that all systems use.
type shared struct {
	postgres *servers.Postgres
	nats     *process
	redis    *process
	natsURL  string
	redisAt  string
	dir      string
	n        atomic.Int64
}

// The settings of PostgreSQL that differ from its defaults; fsync and synchronous_commit are on.
var postgresSettings = []string{"shared_buffers=1GB", "max_wal_size=8GB", "max_connections=200"}

// startServers starts the servers. more are further settings of PostgreSQL.
func startServers(bin string, more ...string) (_ *shared, err error) {
	s := &shared{}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "niyanta-bench-"); err != nil {
		return nil, err
	}
	if s.postgres, err = servers.StartPostgres(true, append(slices.Clone(postgresSettings), more...)...); err != nil {
		return nil, err
	}
	port, err := servers.FreePort()
	if err != nil {
		return nil, err
	}
	s.natsURL = fmt.Sprintf("nats://127.0.0.1:%d", port)
	nats := exec.Command(filepath.Join(bin, "nats-server"), "-a", "127.0.0.1", "-p", fmt.Sprint(port))
	if s.nats, err = start(s.dir, "nats", nats, port); err != nil {
		return nil, err
	}
	if port, err = servers.FreePort(); err != nil {
		return nil, err
	}
	s.redisAt = fmt.Sprintf("127.0.0.1:%d", port)
	server := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--dir", s.dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "everysec")
	s.redis, err = start(s.dir, "redis", server, port)
	return s, err
}

func (s *shared) stop() {
	s.redis.stop()
	s.nats.stop()
	if s.postgres != nil {
		s.postgres.Remove()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir) // a folder of the system's temporary ones
	}
}

// database makes an empty database and returns its URL and how to drop it.
func (s *shared) database(ctx context.Context) (url string, drop func(), err error) {
	name := fmt.Sprintf("bench_%d", s.n.Add(1))
	admin := s.url("postgres")
	if err := execute(ctx, admin, "CREATE DATABASE "+name); err != nil {
		return "", nil, err
	}
	// What the last one left to write must not burden the next one.
	if err := execute(ctx, admin, "CHECKPOINT"); err != nil {
		return "", nil, err
	}
	return s.url(name), func() {
		_ = execute(context.WithoutCancel(ctx), admin, "DROP DATABASE "+name+" WITH (FORCE)")
	}, nil
}

func (s *shared) url(database string) string {
	return fmt.Sprintf("postgres://niyanta@127.0.0.1:%d/%s?sslmode=disable", s.postgres.Port, database)
}

func execute(ctx context.Context, url, statement string) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	_, err = c.Exec(ctx, statement)
	return err
}

// postgresPID is the process id of the postmaster.
func (s *shared) postgresPID(ctx context.Context) (int, error) {
	c, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return 0, err
	}
	defer c.Close(context.WithoutCancel(ctx))
	var backend int
	if err := c.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		return 0, err
	}
	st, err := stat(backend)
	return st.parent, err
}

// versions of the servers, for the report.
func (s *shared) versions(ctx context.Context, bin string) []string {
	var out []string
	if c, err := pgx.Connect(ctx, s.url("postgres")); err == nil {
		var v string
		_ = c.QueryRow(ctx, "SHOW server_version").Scan(&v)
		out = append(out, "PostgreSQL "+v+", fsync and synchronous_commit on, "+strings.Join(postgresSettings, ", "))
		c.Close(ctx)
	}
	r := redis.NewClient(&redis.Options{Addr: s.redisAt})
	defer r.Close()
	if info, err := r.Info(ctx, "server").Result(); err == nil {
		for line := range strings.Lines(info) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:"); ok {
				out = append(out, "Redis "+v+", append-only file synced every second")
			}
		}
	}
	if v, err := exec.Command(filepath.Join(bin, "nats-server"), "--version").Output(); err == nil {
		out = append(out, "NATS "+strings.TrimSpace(strings.TrimPrefix(string(v), "nats-server:")))
	}
	return out
}

// emptyRedis removes what the last measurement left.
func (s *shared) emptyRedis(ctx context.Context) error {
	r := redis.NewClient(&redis.Options{Addr: s.redisAt})
	defer r.Close()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return r.FlushAll(ctx).Err()
}
