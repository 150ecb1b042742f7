-- +goose Up

-- The process behind a session, and the digest of the secret of its death certificate. They stand
-- beside live, in the row that renewals, expiries and certificates lock.
ALTER TABLE worker_leases
 ADD process_id         text COLLATE "C" NOT NULL DEFAULT '',
 ADD certificate_digest text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX worker_leases_by_process ON worker_leases (process_id) WHERE process_id <> '';

-- Processes that have died: they never register again.
CREATE TABLE death_certificates (
  process_id         text COLLATE "C" NOT NULL,
  certificate_digest text COLLATE "C" NOT NULL,
  certified_at       timestamptz NOT NULL,
  PRIMARY KEY (process_id, certificate_digest)
);

-- +goose Down
DROP TABLE death_certificates;
DROP INDEX worker_leases_by_process;
ALTER TABLE worker_leases DROP certificate_digest, DROP process_id;
