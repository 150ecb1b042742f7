# The values are ephemeral: they are in Secrets Manager, and not in Terraform's state. Those of one
# version are made once. An apply that fails half way may leave the database with another password
# than the secret: raise secrets_version and apply again.

ephemeral "random_password" "database" {
  length  = 40
  special = false
}

ephemeral "random_password" "nats" {
  length  = 40
  special = false
}

ephemeral "random_password" "admin_key" {
  length  = 48
  special = false
}

ephemeral "random_password" "worker_key" {
  length  = 48
  special = false
}

resource "aws_secretsmanager_secret" "this" {
  for_each = toset(["postgres-url", "nats-url", "admin-key", "worker-key"])

  name = "${var.name}/${each.key}"
}

resource "aws_secretsmanager_secret_version" "postgres_url" {
  secret_id                = aws_secretsmanager_secret.this["postgres-url"].id
  secret_string_wo_version = var.secrets_version
  secret_string_wo = format(
    "postgres://%s:%s@%s/%s?sslmode=verify-full&sslrootcert=/etc/niyanta/rds.pem",
    local.database_user, ephemeral.random_password.database.result, aws_db_instance.primary.endpoint,
    aws_db_instance.primary.db_name,
  )
}

resource "aws_secretsmanager_secret_version" "nats_url" {
  secret_id                = aws_secretsmanager_secret.this["nats-url"].id
  secret_string_wo_version = var.secrets_version
  secret_string_wo = join(",", [
    for address in local.nats_addresses :
    "nats://niyanta:${ephemeral.random_password.nats.result}@${address}:4222"
  ])
}

resource "aws_secretsmanager_secret_version" "admin_key" {
  secret_id                = aws_secretsmanager_secret.this["admin-key"].id
  secret_string_wo_version = var.secrets_version
  secret_string_wo         = ephemeral.random_password.admin_key.result
}

resource "aws_secretsmanager_secret_version" "worker_key" {
  secret_id                = aws_secretsmanager_secret.this["worker-key"].id
  secret_string_wo_version = var.secrets_version
  secret_string_wo         = ephemeral.random_password.worker_key.result
}
