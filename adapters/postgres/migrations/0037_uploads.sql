-- +goose Up

-- Values in the storage of blobs. An upload is recorded before its value is written. It is loose while
-- nothing is known to refer to it.
CREATE TABLE uploads (
  blob_id     text COLLATE "C" PRIMARY KEY,
  customer_id text COLLATE "C" NOT NULL,
  workload_id text COLLATE "C" NOT NULL,
  began_at    timestamptz NOT NULL,
  committed   boolean NOT NULL DEFAULT false,
  loose       boolean NOT NULL DEFAULT true
);
CREATE INDEX uploads_loose ON uploads (began_at) WHERE loose;
CREATE INDEX uploads_by_customer ON uploads (customer_id);

-- Values that are to be deleted. Those that have been deleted once belong to nobody.
CREATE TABLE upload_garbage (
  blob_id     text COLLATE "C" PRIMARY KEY,
  customer_id text COLLATE "C",
  due_at      timestamptz NOT NULL
);
CREATE INDEX upload_garbage_by_customer ON upload_garbage (customer_id) WHERE customer_id IS NOT NULL;

-- A checkpoint whose bytes are the value of an upload has no data. size is an integer, which large
-- ones exceed: blob_size is their size.
ALTER TABLE checkpoints ADD COLUMN blob_id text COLLATE "C";
ALTER TABLE checkpoints ADD COLUMN blob_size bigint;
CREATE INDEX checkpoints_by_blob ON checkpoints (blob_id) WHERE blob_id IS NOT NULL;

-- +goose StatementBegin
CREATE FUNCTION niyanta_loosen_upload() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE uploads SET loose = true WHERE blob_id = OLD.blob_id;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER loosen_upload AFTER DELETE ON checkpoints FOR EACH ROW WHEN (OLD.blob_id IS NOT NULL)
  EXECUTE FUNCTION niyanta_loosen_upload();

-- +goose Down
DROP TRIGGER loosen_upload ON checkpoints;
DROP FUNCTION niyanta_loosen_upload();
DROP INDEX checkpoints_by_blob;
ALTER TABLE checkpoints DROP COLUMN blob_size;
ALTER TABLE checkpoints DROP COLUMN blob_id;
DROP TABLE upload_garbage;
DROP TABLE uploads;
