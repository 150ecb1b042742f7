-- +goose Up

-- What a worker has beside cores, memory and disk.
ALTER TABLE workers ADD devices jsonb, ADD custom jsonb;

-- What a run reserves; NULL: nothing but a slot. The cpu_cores, memory_mb and disk_mb that configs and
-- workloads have are limits, which reserve nothing. So lanes do not need them.
ALTER TABLE workload_configs ADD resources jsonb;
ALTER TABLE workload_specs ADD resources jsonb;
ALTER TABLE lanes ADD resources jsonb, DROP cpu_cores, DROP memory_mb, DROP disk_mb;

-- The devices that a run holds; NULL: none.
ALTER TABLE workloads ADD devices jsonb;
ALTER TABLE held ADD devices jsonb;
ALTER TABLE ending ADD devices jsonb;
ALTER TABLE workload_archive ADD resources jsonb, ADD devices jsonb;

-- +goose Down
ALTER TABLE workload_archive DROP devices, DROP resources;
ALTER TABLE ending DROP devices;
ALTER TABLE held DROP devices;
ALTER TABLE workloads DROP devices;
ALTER TABLE lanes ADD cpu_cores double precision NOT NULL DEFAULT 0, ADD memory_mb integer NOT NULL DEFAULT 0,
 ADD disk_mb integer NOT NULL DEFAULT 0, DROP resources;
ALTER TABLE lanes ALTER cpu_cores DROP DEFAULT, ALTER memory_mb DROP DEFAULT, ALTER disk_mb DROP DEFAULT;
ALTER TABLE workload_specs DROP resources;
ALTER TABLE workload_configs DROP resources;
ALTER TABLE workers DROP custom, DROP devices;
