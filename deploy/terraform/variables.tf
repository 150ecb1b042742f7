variable "name" {
  description = "The name of the installation. Everything that is made has it in its own name."
  type        = string
  default     = "niyanta"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name))
    error_message = "name must be 2 to 20 lower case letters, digits and \"-\", and begin with a letter."
  }
}

variable "region" {
  description = "The AWS region."
  type        = string
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}

variable "vpc_id" {
  description = "The VPC that everything runs in."
  type        = string
}

variable "private_subnet_ids" {
  description = "Subnets in at least two availability zones, with a way out to AWS, for everything but the load balancer."
  type        = list(string)

  validation {
    condition     = length(var.private_subnet_ids) >= 2
    error_message = "private_subnet_ids must name subnets in at least two availability zones."
  }
}

variable "load_balancer_subnet_ids" {
  description = "Subnets of the load balancer in at least two availability zones: public ones if it faces the internet."
  type        = list(string)
}

variable "internal" {
  description = <<-EOT
    Whether the load balancer is only reached from within the VPC and what is connected to it. If it is not, the workers
    leave the VPC to reach it: client_cidrs must have the addresses of its NAT gateways.
  EOT
  type        = bool
  default     = true
}

variable "client_cidrs" {
  description = "The networks that clients call the API from."
  type        = list(string)
}

variable "certificate_arn" {
  description = "The ACM certificate of the API's host name."
  type        = string
}

variable "host_name" {
  description = "The API's host name, which the certificate is for. Point it to the output load_balancer."
  type        = string
}

variable "ami_id" {
  description = "An image of Amazon Linux 2023 or another with systemd, curl and the AWS CLI, for all machines."
  type        = string
}

variable "release" {
  description = "The program, as it lies in S3, and its checksum: bin/niyanta of \"make build\"."
  type = object({
    bucket = string
    key    = string
    sha256 = string
  })

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.release.sha256))
    error_message = "release.sha256 must be 64 hexadecimal digits."
  }
}

variable "nats_release" {
  description = "The program nats-server, as it lies in S3, and its checksum."
  type = object({
    bucket = string
    key    = string
    sha256 = string
  })
}

variable "secrets_version" {
  description = "Raise it to make new passwords and keys. Then replace the workers."
  type        = number
  default     = 1
}

variable "database" {
  description = "The database."
  type = object({
    instance_class        = optional(string, "db.r7g.large")
    engine_version        = optional(string, "17")
    storage_gb            = optional(number, 100)
    storage_limit_gb      = optional(number, 1000)
    backup_retention_days = optional(number, 14)
    read_replicas         = optional(number, 0)
    deletion_protection   = optional(bool, true)
  })
  default = {}
}

variable "coordinators" {
  description = "The coordinators."
  type = object({
    count         = optional(number, 3)
    instance_type = optional(string, "m7i.large")
  })
  default = {}

  validation {
    condition     = var.coordinators.count >= 2
    error_message = "coordinators.count must be at least 2, so that one may fail."
  }
}

variable "nats_instance_type" {
  description = "The type of the three machines with NATS."
  type        = string
  default     = "t3.small"
}

variable "pool" {
  description = "The pool of workers. slots are those of each; exec_allow names the programs of type exec."
  type = object({
    name          = optional(string, "main")
    instance_type = optional(string, "m7i.xlarge")
    slots         = optional(number, 10)
    types         = optional(list(string), ["sleep", "http"])
    exec_allow    = optional(list(string), [])
    min_workers   = optional(number, 1)
    max_workers   = optional(number, 50)
    spot          = optional(bool, false)
    disk_gb       = optional(number, 50)
  })
  default = {}

  validation {
    condition     = var.pool.disk_gb >= 20
    error_message = "pool.disk_gb must be at least 20: the system takes 10."
  }
}

variable "drain_timeout_seconds" {
  description = "How long a worker that must end waits for its runs to checkpoint and stop."
  type        = number
  default     = 300

  validation {
    condition     = var.drain_timeout_seconds >= 1 && var.drain_timeout_seconds <= 7000
    error_message = "drain_timeout_seconds must be 1 to 7000: a lifecycle hook waits for two hours at most."
  }
}

variable "scaler_key_secret_arn" {
  description = <<-EOT
    The secret with the scaler's key. It is made once the coordinators run: niyanta key create --role scaler --name aws.
    Without it, no exporter runs and the group keeps its size.
  EOT
  type        = string
  default     = ""
}

variable "waiting_per_worker" {
  description = "Also scale out so that at most so many workloads wait for each worker. 0: only by desired workers."
  type        = number
  default     = 0
}
