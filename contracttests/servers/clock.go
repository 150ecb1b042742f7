package servers

// SlowClock are statements that replace the clock of a migrated store by one that tests advance:
// they add to the column shift of test_clock. By itself it goes twenty times slower than time
// does. Two statements still have different times, but a machine that stands still for seconds ends
// no lease that a test needs.
var SlowClock = []string{
	"CREATE TABLE test_clock (shift interval NOT NULL, began timestamptz NOT NULL)",
	"INSERT INTO test_clock VALUES ('0', statement_timestamp())",
	"CREATE OR REPLACE FUNCTION niyanta_now() RETURNS timestamptz LANGUAGE sql STABLE AS " +
		"'SELECT (SELECT began + (statement_timestamp() - began) / 20 + shift FROM test_clock)'",
}
