# Clients reach the load balancer, and it the coordinators. Coordinators reach the database and the
# bus. Workers reach the coordinators and the bus, and not the database.

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-load-balancer"
  description = "Clients to the load balancer"
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "coordinator" {
  name        = "${var.name}-coordinator"
  description = "Load balancer and workers to coordinators"
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "worker" {
  name        = "${var.name}-worker"
  description = "Nobody to workers"
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "nats" {
  name        = "${var.name}-nats"
  description = "Coordinators and workers to NATS"
  vpc_id      = var.vpc_id
}

resource "aws_security_group" "database" {
  name        = "${var.name}-database"
  description = "Coordinators to the database"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = toset(var.client_cidrs)

  security_group_id = aws_security_group.load_balancer.id
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# Workers call the API at the load balancer, for what is too large for the bus.
resource "aws_vpc_security_group_ingress_rule" "workers_to_load_balancer" {
  for_each = {
    worker      = aws_security_group.worker.id
    coordinator = aws_security_group.coordinator.id
  }

  security_group_id            = aws_security_group.load_balancer.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  security_group_id            = aws_security_group.load_balancer.id
  referenced_security_group_id = aws_security_group.coordinator.id
  ip_protocol                  = "tcp"
  from_port                    = local.api_port
  to_port                      = local.api_port
}

resource "aws_vpc_security_group_ingress_rule" "coordinator" {
  security_group_id            = aws_security_group.coordinator.id
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = local.api_port
  to_port                      = local.api_port
}

resource "aws_vpc_security_group_ingress_rule" "nats" {
  for_each = {
    worker      = aws_security_group.worker.id
    coordinator = aws_security_group.coordinator.id
  }

  security_group_id            = aws_security_group.nats.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 4222
  to_port                      = 4222
}

resource "aws_vpc_security_group_ingress_rule" "nats_routes" {
  security_group_id            = aws_security_group.nats.id
  referenced_security_group_id = aws_security_group.nats.id
  ip_protocol                  = "tcp"
  from_port                    = 6222
  to_port                      = 6222
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = aws_security_group.database.id
  referenced_security_group_id = aws_security_group.coordinator.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

# Machines fetch programs and secrets, and workers call whom their workloads call.
resource "aws_vpc_security_group_egress_rule" "out" {
  for_each = {
    coordinator = aws_security_group.coordinator.id
    worker      = aws_security_group.worker.id
    nats        = aws_security_group.nats.id
  }

  security_group_id = each.value
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}
