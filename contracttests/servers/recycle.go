package servers

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A database is used again after its test, if the test has succeeded and changed rows only: a new one
// costs several times as much. It gets a new name then, so that whoever still uses the old one fails.
const (
	// keepSeed keeps what the tables and sequences of a template have.
	keepSeed = `CREATE SCHEMA seed;
DO $$ DECLARE t text; filled bool; BEGIN
 FOR t IN SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
  EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', t) INTO filled;
  IF filled THEN EXECUTE format('CREATE TABLE seed.%I AS TABLE public.%1$I', t); END IF;
 END LOOP;
 CREATE TABLE seed.sequences_of_public AS SELECT format('public.%I', sequencename) AS name,
   coalesce(last_value, start_value) AS at, last_value IS NOT NULL AS called
  FROM pg_sequences WHERE schemaname = 'public';
END $$`
	// toSeed makes the rows of all tables those of the template. Large tables are truncated: rows that
	// were deleted would stay in them for a while. So are those that have been analyzed: what the planner
	// knows of a table goes with it.
	toSeed = `DO $$ DECLARE t regclass; large text; BEGIN
 SET LOCAL session_replication_role = replica; -- foreign keys don't matter when everything goes
 SELECT string_agg(oid::regclass::text, ', ') INTO large FROM pg_class WHERE relkind = 'r'
  AND relnamespace = 'public'::regnamespace AND (pg_relation_size(oid) > 262144 OR reltuples >= 0);
 IF large <> '' THEN EXECUTE 'TRUNCATE ' || large || ' CASCADE'; END IF;
 DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace);
 FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
  AND pg_relation_size(oid) > 0 LOOP
  EXECUTE 'DELETE FROM ' || t;
 END LOOP;
 FOR t IN SELECT p.oid FROM pg_class p JOIN pg_class s USING (relname) WHERE p.relnamespace = 'public'::regnamespace
  AND s.relnamespace = 'seed'::regnamespace LOOP
  EXECUTE 'INSERT INTO ' || t || ' OVERRIDING SYSTEM VALUE SELECT * FROM seed.' || t;
 END LOOP;
 PERFORM setval(name, at, called) FROM seed.sequences_of_public;
END $$`
	// shape differs between databases that differ in more than rows: what defines tables is not written
	// again by anything else.
	shape = `SELECT concat_ws(' ',
 (SELECT md5(string_agg(concat_ws(' ', relname, relkind, reloptions), ',' ORDER BY relname)) FROM pg_class
   WHERE relnamespace = 'public'::regnamespace),
 (SELECT count(*) || ' ' || max(xmin::text::bigint) FROM pg_attribute),
 (SELECT count(*) || ' ' || max(xmin::text::bigint) FROM pg_constraint),
 (SELECT count(*) || ' ' || max(xmin::text::bigint) FROM pg_index),
 (SELECT count(*) || ' ' || max(xmin::text::bigint) FROM pg_proc),
 (SELECT count(*) || ' ' || max(xmin::text::bigint) FROM pg_trigger),
 (SELECT string_agg(setconfig::text, ',' ORDER BY setrole) FROM pg_db_role_setting JOIN pg_database d
   ON d.oid = setdatabase WHERE datname = current_database()))`
)

// take returns a database that was given back, if there is one.
func (p *Postgres) take() (name string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.free) - 1
	if last < 0 {
		return "", false
	}
	name, p.free = p.free[last], p.free[:last]
	return name, true
}

// giveBack makes a database free for another test, or drops it.
func (p *Postgres) giveBack(tb testing.TB, name string) {
	tb.Helper()
	if tb.Failed() {
		p.Drop(tb, name)
		return
	}
	again := p.name()
	if p.recycle(name, again) != nil {
		p.Drop(tb, name)
		p.Drop(tb, again)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, again)
}

var errOtherShape = errors.New("the database has another shape than its template")

// recycle renames a database to again and gives it the rows of the template.
func (p *Postgres) recycle(name, again string) error {
	err := p.manage(
		fmt.Sprintf("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '%s'", name),
		fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", name, again))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.SocketURL(again))
	if err != nil {
		return err
	}
	has, err := p.shapeOf(ctx, conn)
	if err == nil && has != p.shape {
		err = errOtherShape
	}
	if err == nil {
		_, err = conn.Exec(ctx, toSeed, pgx.QueryExecModeSimpleProtocol)
	}
	return errors.Join(err, conn.Close(ctx))
}

func (p *Postgres) shapeOf(ctx context.Context, conn *pgx.Conn) (s string, err error) {
	return s, conn.QueryRow(ctx, shape, pgx.QueryExecModeSimpleProtocol).Scan(&s)
}

// keep keeps what a template has.
func (p *Postgres) keep(ctx context.Context, template string) error {
	conn, err := pgx.Connect(ctx, p.SocketURL(template))
	if err != nil {
		return err
	}
	if _, err = conn.Exec(ctx, keepSeed, pgx.QueryExecModeSimpleProtocol); err == nil {
		p.shape, err = p.shapeOf(ctx, conn)
	}
	return errors.Join(err, conn.Close(ctx))
}
