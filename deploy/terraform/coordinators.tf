locals {
  api_port         = 8080
  metric_namespace = "Niyanta"
  url              = "https://${var.host_name}"

  # How each kind of machine fetches its program.
  fetch = {
    for kind, program in local.programs_of : kind => templatefile("${path.module}/templates/fetch.sh", {
      region = var.region
      bucket = program.bucket
      key    = program.key
      sha256 = program.sha256
      path   = kind == "nats" ? "/usr/local/bin/nats-server" : "/usr/local/bin/niyanta"
    })
  }

  # What coordinators and workers begin with.
  prepare = templatefile("${path.module}/templates/prepare.sh", { region = var.region })

  # What a pool does not state is not limited: work that is too large for every machine would add machines.
  # The kernel keeps some of the memory, and the system some of the disk.
  pools = jsonencode([{
    name = var.pool.name
    types = concat(
      var.pool.types, length(var.pool.exec_allow) > 0 ? ["exec"] : [],
      [for program in var.pool.exec_allow : "exec:${program}"],
    )
    slots       = var.pool.slots
    cpu         = data.aws_ec2_instance_type.worker.default_vcpus
    memory_mb   = floor(data.aws_ec2_instance_type.worker.memory_size * 0.9)
    disk_mb     = local.worker_disk_mb
    min_workers = var.pool.min_workers
    max_workers = var.pool.max_workers
  }])
}

resource "aws_lb" "this" {
  name               = var.name
  internal           = var.internal
  load_balancer_type = "application"
  security_groups    = [aws_security_group.load_balancer.id]
  subnets            = var.load_balancer_subnet_ids

  # Longer than a long poll, and shorter than the coordinators keep idle connections.
  idle_timeout               = 120
  drop_invalid_header_fields = true
}

resource "aws_lb_target_group" "coordinator" {
  name                 = "${var.name}-coordinator"
  port                 = local.api_port
  protocol             = "HTTP"
  vpc_id               = var.vpc_id
  deregistration_delay = 30

  health_check {
    path                = "/ready"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.coordinator.arn
  }
}

# Metrics need no key and tell of all customers. Prometheus reads them at the machines.
resource "aws_lb_listener_rule" "metrics" {
  listener_arn = aws_lb_listener.https.arn
  priority     = 1

  action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      status_code  = "404"
    }
  }

  condition {
    path_pattern {
      values = ["/metrics"]
    }
  }
}

resource "aws_launch_template" "coordinator" {
  name_prefix            = "${var.name}-coordinator-"
  image_id               = var.ami_id
  instance_type          = var.coordinators.instance_type
  vpc_security_group_ids = [aws_security_group.coordinator.id]
  update_default_version = true

  user_data = base64encode(templatefile("${path.module}/templates/coordinator.sh", {
    fetch            = local.fetch["coordinator"]
    prepare          = local.prepare
    region           = var.region
    api_port         = local.api_port
    pools            = local.pools
    postgres_secret  = aws_secretsmanager_secret.this["postgres-url"].arn
    replicas         = [for r in aws_db_instance.replica : r.endpoint]
    nats_secret      = aws_secretsmanager_secret.this["nats-url"].arn
    admin_secret     = aws_secretsmanager_secret.this["admin-key"].arn
    worker_secret    = aws_secretsmanager_secret.this["worker-key"].arn
    scaler_secret    = var.scaler_key_secret_arn
    pool             = var.pool.name
    group            = local.worker_group
    hook             = local.lifecycle_hook
    metric_namespace = local.metric_namespace
    secrets_version  = var.secrets_version
  }))

  iam_instance_profile {
    name = aws_iam_instance_profile.this["coordinator"].name
  }

  metadata_options {
    http_tokens = "required"
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_size = 20
      volume_type = "gp3"
      encrypted   = true
    }
  }
}

resource "aws_autoscaling_group" "coordinator" {
  name                      = "${var.name}-coordinator"
  min_size                  = var.coordinators.count
  max_size                  = var.coordinators.count + 1
  desired_capacity          = var.coordinators.count
  vpc_zone_identifier       = var.private_subnet_ids
  target_group_arns         = [aws_lb_target_group.coordinator.arn]
  health_check_grace_period = 180

  # Not "ELB": while the database is away, no coordinator is ready, and the group would replace all of
  # them, again and again. The load balancer keeps requests from those that are not.
  health_check_type = "EC2"

  launch_template {
    id      = aws_launch_template.coordinator.id
    version = aws_launch_template.coordinator.latest_version
  }

  # One after the other, and the new one is ready before the old one goes.
  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 150
      instance_warmup        = 300
    }
  }

  depends_on = [
    aws_iam_role_policy.machine,
    aws_secretsmanager_secret_version.postgres_url, aws_secretsmanager_secret_version.nats_url,
    aws_secretsmanager_secret_version.admin_key, aws_secretsmanager_secret_version.worker_key,
  ]
}
