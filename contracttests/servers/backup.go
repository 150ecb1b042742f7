package servers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// Backup copies the cluster with pg_basebackup while it runs. Restore goes back to the copy.
func (p *Postgres) Backup() error { return p.copyTo(filepath.Join(p.dir, "backup")) }

// copyTo copies the running cluster to a folder that does not exist.
func (p *Postgres) copyTo(dir string, options ...string) error {
	cmd, out, err := command(p.dir, filepath.Join(p.bin, "pg_basebackup"), append([]string{
		"-d", p.SocketURL("postgres"), "-D", dir, "-X", "stream", "-c", "fast", "--no-sync",
	}, options...)...)
	if err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("pg_basebackup: %w: %s", err, out)
	}
	return nil
}

// Restore replaces the data of a stopped cluster by the copy that Backup made, and starts it.
func (p *Postgres) Restore() error {
	data := filepath.Join(p.dir, "data")
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(p.dir, "backup"), data); err != nil {
		return err
	}
	return p.Start()
}

// StartReplica starts a streaming replica of the cluster. It ends with the test.
func (p *Postgres) StartReplica(tb testing.TB) *Postgres {
	tb.Helper()
	r := &Postgres{bin: p.bin, durable: p.durable, settings: p.settings}
	var err error
	r.dir, err = testfiles.Folder("pg")
	require.NoError(tb, err)
	require.NoError(tb, p.copyTo(filepath.Join(r.dir, "data"), "-R"))
	require.NoError(tb, onFreePort(&r.Port, r.Start))
	tb.Cleanup(r.Remove)
	return r
}

// Promote makes a replica a primary of its own.
func (p *Postgres) Promote() error {
	return p.run(context.Background(), "postgres", "SELECT pg_promote()")
}
