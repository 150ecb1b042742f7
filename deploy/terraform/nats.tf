# Three servers of NATS with fixed addresses. Niyanta keeps nothing in NATS: a server that is replaced
# has lost nothing, and while all of them are away workers get work over HTTP.

locals {
  nats_subnets   = [for i in range(3) : var.private_subnet_ids[i % length(var.private_subnet_ids)]]
  nats_addresses = [for i in aws_network_interface.nats : i.private_ip]
}

resource "aws_network_interface" "nats" {
  count = 3

  subnet_id       = local.nats_subnets[count.index]
  security_groups = [aws_security_group.nats.id]
}

resource "aws_instance" "nats" {
  count = 3

  ami                         = var.ami_id
  instance_type               = var.nats_instance_type
  iam_instance_profile        = aws_iam_instance_profile.this["nats"].name
  user_data_replace_on_change = true
  user_data = templatefile("${path.module}/templates/nats.sh", {
    fetch     = local.fetch["nats"]
    region    = var.region
    secret    = aws_secretsmanager_secret.this["nats-url"].arn
    addresses = local.nats_addresses

    secrets_version = var.secrets_version
  })

  primary_network_interface {
    network_interface_id = aws_network_interface.nats[count.index].id
  }

  metadata_options {
    http_tokens = "required"
  }

  root_block_device {
    encrypted = true
  }

  tags = {
    Name = "${var.name}-nats-${count.index + 1}"
  }

  depends_on = [aws_iam_role_policy.machine, aws_secretsmanager_secret_version.nats_url]
}
