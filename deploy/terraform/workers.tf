locals {
  worker_group   = "${var.name}-worker-${var.pool.name}"
  lifecycle_hook = "drain"

  # The users of programs of exec, who do not reach the metadata service.
  exec_uids = "2000000000-2000009999"

  # What workloads may reserve of the disk: what the system leaves.
  worker_disk_mb = (var.pool.disk_gb - 10) * 1024
}

data "aws_ec2_instance_type" "worker" {
  instance_type = var.pool.instance_type
}

resource "aws_launch_template" "worker" {
  name_prefix            = "${var.name}-worker-"
  image_id               = var.ami_id
  instance_type          = var.pool.instance_type
  vpc_security_group_ids = [aws_security_group.worker.id]
  update_default_version = true

  user_data = base64encode(templatefile("${path.module}/templates/worker.sh", {
    fetch           = local.fetch["worker"]
    prepare         = local.prepare
    url             = local.url
    nats_secret     = aws_secretsmanager_secret.this["nats-url"].arn
    worker_secret   = aws_secretsmanager_secret.this["worker-key"].arn
    slots           = var.pool.slots
    disk_mb         = local.worker_disk_mb
    exec_allow      = join(",", var.pool.exec_allow)
    exec_uids       = local.exec_uids
    drain_timeout   = var.drain_timeout_seconds
    spot            = var.pool.spot
    secrets_version = var.secrets_version
  }))

  iam_instance_profile {
    name = aws_iam_instance_profile.this["worker"].name
  }

  # What asks the metadata service gets the machine's role, and with it the worker's key. The worker's
  # guard keeps workloads of the type http from it, a rule of the service's unit programs of exec, and
  # one hop containers.
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_size = var.pool.disk_gb
      volume_type = "gp3"
      encrypted   = true
    }
  }

  dynamic "instance_market_options" {
    for_each = var.pool.spot ? ["spot"] : []

    content {
      market_type = instance_market_options.value
    }
  }
}

resource "aws_autoscaling_group" "worker" {
  name                      = local.worker_group
  min_size                  = var.pool.min_workers
  max_size                  = var.pool.max_workers
  vpc_zone_identifier       = var.private_subnet_ids
  health_check_type         = "EC2"
  health_check_grace_period = 60

  # The exporter ends the protection of machines without work. Until it has seen one, nothing is
  # taken away.
  protect_from_scale_in = true

  # Protection does not hold against rebalancing between zones.
  suspended_processes = ["AZRebalance"]

  launch_template {
    id      = aws_launch_template.worker.id
    version = aws_launch_template.worker.latest_version
  }

  # It is in the group from its beginning, so that no machine ends without it.
  initial_lifecycle_hook {
    name                 = local.lifecycle_hook
    lifecycle_transition = "autoscaling:EC2_INSTANCE_TERMINATING"
    default_result       = "CONTINUE"
    heartbeat_timeout    = var.drain_timeout_seconds + 120
  }

  tag {
    key                 = "Name"
    value               = local.worker_group
    propagate_at_launch = true
  }

  lifecycle {
    ignore_changes = [desired_capacity]
  }

  depends_on = [
    aws_iam_role_policy.machine,
    aws_secretsmanager_secret_version.nats_url, aws_secretsmanager_secret_version.worker_key,
  ]
}

# Out: by how many workers are missing, as GET /v1/scaling computes it.
resource "aws_autoscaling_policy" "out" {
  name                      = "missing-workers"
  autoscaling_group_name    = aws_autoscaling_group.worker.name
  policy_type               = "StepScaling"
  adjustment_type           = "ChangeInCapacity"
  metric_aggregation_type   = "Maximum"
  estimated_instance_warmup = 60

  dynamic "step_adjustment" {
    for_each = local.steps

    content {
      scaling_adjustment          = step_adjustment.value
      metric_interval_lower_bound = step_adjustment.value - 1
      metric_interval_upper_bound = try(local.steps[step_adjustment.key + 1] - 1, null)
    }
  }
}

locals {
  # An alarm's threshold is 1. With so many missing workers or more, so many machines are added.
  steps = [1, 2, 4, 8, 16, 32]
}

resource "aws_cloudwatch_metric_alarm" "out" {
  alarm_name          = "${local.worker_group}-missing"
  alarm_description   = "The pool needs more workers."
  namespace           = local.metric_namespace
  metric_name         = "MissingWorkers"
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_autoscaling_policy.out.arn]

  dimensions = {
    AutoScalingGroupName = aws_autoscaling_group.worker.name
    Pool                 = var.pool.name
  }
}

# In: a tenth of the machines at a time, one at least, after five quiet minutes. Machines with work are protected.
resource "aws_autoscaling_policy" "in" {
  name                     = "spare-workers"
  autoscaling_group_name   = aws_autoscaling_group.worker.name
  policy_type              = "StepScaling"
  adjustment_type          = "PercentChangeInCapacity"
  min_adjustment_magnitude = 1
  metric_aggregation_type  = "Minimum"

  step_adjustment {
    scaling_adjustment          = -10
    metric_interval_upper_bound = null
    metric_interval_lower_bound = 0
  }
}

resource "aws_cloudwatch_metric_alarm" "in" {
  alarm_name          = "${local.worker_group}-spare"
  alarm_description   = "The pool has workers to spare."
  namespace           = local.metric_namespace
  metric_name         = "SpareWorkers"
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_autoscaling_policy.in.arn]

  dimensions = {
    AutoScalingGroupName = aws_autoscaling_group.worker.name
    Pool                 = var.pool.name
  }
}

resource "aws_autoscaling_policy" "waiting" {
  count = var.waiting_per_worker > 0 ? 1 : 0

  name                   = "waiting-per-worker"
  autoscaling_group_name = aws_autoscaling_group.worker.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value     = var.waiting_per_worker
    disable_scale_in = true

    customized_metric_specification {
      namespace   = local.metric_namespace
      metric_name = "WaitingPerWorker"
      statistic   = "Average"

      metric_dimension {
        name  = "AutoScalingGroupName"
        value = aws_autoscaling_group.worker.name
      }

      metric_dimension {
        name  = "Pool"
        value = var.pool.name
      }
    }
  }
}

# Nobody informs the group any more: it keeps its size, whatever waits.
resource "aws_cloudwatch_metric_alarm" "silent" {
  count = var.scaler_key_secret_arn == "" ? 0 : 1

  alarm_name          = "${local.worker_group}-silent"
  alarm_description   = "No exporter publishes figures: docs/operations/scaling.md."
  namespace           = local.metric_namespace
  metric_name         = "DesiredWorkers"
  statistic           = "SampleCount"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"

  dimensions = {
    AutoScalingGroupName = aws_autoscaling_group.worker.name
    Pool                 = var.pool.name
  }
}
