// Package previous gives tests the previous version: its source, and the programs built of it. The
// file commit names its commit. A release moves that file to the release before it, and so states
// which version must run beside the new one. The tests that use the package prove that it does:
// processes of both versions in chaos, migrations in adapters/postgres.
package previous
