locals {
  secrets_of = {
    coordinator = concat(
      [for name in ["postgres-url", "nats-url", "admin-key", "worker-key"] : aws_secretsmanager_secret.this[name].arn],
      var.scaler_key_secret_arn == "" ? [] : [var.scaler_key_secret_arn],
    )
    worker = [for name in ["nats-url", "worker-key"] : aws_secretsmanager_secret.this[name].arn]
    nats   = [aws_secretsmanager_secret.this["nats-url"].arn]
  }
  programs_of = {
    coordinator = var.release
    worker      = var.release
    nats        = var.nats_release
  }
}

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  for_each = local.secrets_of

  name               = "${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_instance_profile" "this" {
  for_each = aws_iam_role.this

  name = each.value.name
  role = each.value.name
}

data "aws_iam_policy_document" "machine" {
  for_each = local.secrets_of

  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = each.value
  }

  statement {
    actions = ["s3:GetObject"]
    resources = [
      "arn:${data.aws_partition.current.partition}:s3:::${local.programs_of[each.key].bucket}/${local.programs_of[each.key].key}",
    ]
  }
}

resource "aws_iam_role_policy" "machine" {
  for_each = local.secrets_of

  name   = "machine"
  role   = aws_iam_role.this[each.key].id
  policy = data.aws_iam_policy_document.machine[each.key].json
}

# What "niyanta scale-exporter aws" needs, which runs beside each coordinator.
data "aws_iam_policy_document" "exporter" {
  statement {
    actions   = ["autoscaling:DescribeAutoScalingGroups"] # has no resources
    resources = ["*"]
  }

  statement {
    actions = [
      "autoscaling:CompleteLifecycleAction",
      "autoscaling:RecordLifecycleActionHeartbeat",
      "autoscaling:SetInstanceProtection",
    ]
    resources = [
      join(":", [
        "arn", data.aws_partition.current.partition, "autoscaling", var.region,
        data.aws_caller_identity.current.account_id, "autoScalingGroup", "*",
        "autoScalingGroupName/${local.worker_group}",
      ]),
    ]
  }

  statement {
    actions   = ["cloudwatch:PutMetricData"] # has no resources
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = [local.metric_namespace]
    }
  }
}

resource "aws_iam_role_policy" "exporter" {
  name   = "scale-exporter"
  role   = aws_iam_role.this["coordinator"].id
  policy = data.aws_iam_policy_document.exporter.json
}
