output "url" {
  description = "The address of the API."
  value       = local.url
}

output "load_balancer" {
  description = "Where host_name must point to."
  value       = aws_lb.this.dns_name
}

output "admin_key_secret" {
  description = "The secret with the first administrator's key."
  value       = aws_secretsmanager_secret.this["admin-key"].arn
}

output "worker_group" {
  description = "The Auto Scaling group of the workers."
  value       = aws_autoscaling_group.worker.name
}

output "database_endpoint" {
  description = "The address of the primary. In a failover it moves to the standby."
  value       = aws_db_instance.primary.endpoint
}
