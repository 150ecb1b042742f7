package terraform_test

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// schema is what the documentation of the providers says of a type, as far as the module needs it. The
// providers themselves are no Go packages that could be asked.
type schema struct {
	// required and optional are arguments, blocks those that are blocks, computed what can only be
	// read.
	required, optional, blocks, computed string
}

func (s schema) has(name string) bool {
	return slices.Contains(strings.Fields(s.required+" "+s.optional+" "+s.computed+" id arn tags_all"), name)
}

// meta are the arguments and blocks of every resource.
const metaArguments, metaBlocks = "count for_each depends_on provider tags", "lifecycle timeouts"

var securityRule = schema{
	"security_group_id ip_protocol", "cidr_ipv4 referenced_security_group_id from_port to_port", "", "",
}

var schemas = map[string]schema{
	"aws_security_group":                  {"name", "description vpc_id", "", ""},
	"aws_vpc_security_group_ingress_rule": securityRule,
	"aws_vpc_security_group_egress_rule":  securityRule,
	"aws_secretsmanager_secret":           {"", "name name_prefix description kms_key_id", "", ""},
	"aws_secretsmanager_secret_version": {
		"secret_id", "secret_string secret_string_wo secret_string_wo_version", "", "version_id",
	},
	"aws_db_subnet_group":      {"subnet_ids", "name", "", ""},
	"aws_db_parameter_group":   {"family", "name name_prefix", "parameter", ""},
	"aws_network_interface":    {"subnet_id", "security_groups private_ips", "", "private_ip"},
	"aws_iam_role":             {"assume_role_policy", "name", "", ""},
	"aws_iam_instance_profile": {"", "name role", "", ""},
	"aws_iam_role_policy":      {"role policy", "name", "", ""},
	"aws_lb_listener": {
		"load_balancer_arn", "port protocol ssl_policy certificate_arn", "default_action", "",
	},
	"aws_lb_listener_rule":         {"listener_arn", "priority", "action condition", ""},
	"data.aws_partition":           {"", "", "", "partition dns_suffix"},
	"data.aws_caller_identity":     {"", "", "", "account_id"},
	"data.aws_ec2_instance_type":   {"instance_type", "", "", "default_vcpus memory_size"},
	"data.aws_iam_policy_document": {"", "", "statement", "json"},
	"ephemeral.random_password":    {"length", "special", "", "result"},
	"aws_lb": {
		"", "name internal load_balancer_type security_groups subnets idle_timeout drop_invalid_header_fields", "",
		"dns_name zone_id",
	},
	"aws_lb_target_group": {"", "name port protocol vpc_id deregistration_delay", "health_check", ""},
	"aws_db_instance": {
		"instance_class", "identifier engine engine_version db_name username password_wo password_wo_version " +
			"allocated_storage max_allocated_storage storage_type storage_encrypted multi_az db_subnet_group_name " +
			"vpc_security_group_ids parameter_group_name publicly_accessible backup_retention_period deletion_protection " +
			"skip_final_snapshot final_snapshot_identifier copy_tags_to_snapshot " +
			"auto_minor_version_upgrade performance_insights_enabled replicate_source_db", "", "endpoint address port",
	},
	"aws_instance": {
		"ami instance_type", "iam_instance_profile user_data user_data_replace_on_change",
		"primary_network_interface metadata_options root_block_device", "private_ip",
	},
	"aws_launch_template": {
		"", "name_prefix image_id instance_type vpc_security_group_ids update_default_version user_data",
		"iam_instance_profile metadata_options block_device_mappings instance_market_options", "latest_version",
	},
	"aws_autoscaling_group": {
		"min_size max_size", "name desired_capacity vpc_zone_identifier target_group_arns health_check_type " +
			"health_check_grace_period protect_from_scale_in suspended_processes",
		"launch_template instance_refresh initial_lifecycle_hook tag", "",
	},
	"aws_autoscaling_policy": {
		"name autoscaling_group_name", "policy_type adjustment_type metric_aggregation_type estimated_instance_warmup " +
			"min_adjustment_magnitude", "step_adjustment target_tracking_configuration", "",
	},
	"aws_cloudwatch_metric_alarm": {
		"alarm_name comparison_operator evaluation_periods", "alarm_description namespace metric_name statistic period " +
			"threshold treat_missing_data alarm_actions dimensions", "", "",
	},
}

// blockSchemas are those of blocks within resources.
var blockSchemas = map[string]schema{
	"parameter":                 {"name value", "apply_method", "", ""},
	"primary_network_interface": {"network_interface_id", "", "", ""},
	"metadata_options":          {"", "http_tokens http_put_response_hop_limit http_endpoint", "", ""},
	"root_block_device":         {"", "encrypted volume_size volume_type", "", ""},
	"iam_instance_profile":      {"", "name arn", "", ""},
	"block_device_mappings":     {"", "device_name", "ebs", ""},
	"ebs":                       {"", "volume_size volume_type encrypted", "", ""},
	"instance_market_options":   {"", "market_type", "", ""},
	"launch_template":           {"", "id name version", "", ""},
	"instance_refresh":          {"strategy", "triggers", "preferences", ""},
	"preferences":               {"", "min_healthy_percentage max_healthy_percentage instance_warmup", "", ""},
	"initial_lifecycle_hook":    {"name lifecycle_transition", "default_result heartbeat_timeout", "", ""},
	"tag":                       {"key value propagate_at_launch", "", "", ""},
	"step_adjustment": {
		"scaling_adjustment", "metric_interval_lower_bound metric_interval_upper_bound", "", "",
	},
	"target_tracking_configuration":   {"target_value", "disable_scale_in", "customized_metric_specification", ""},
	"customized_metric_specification": {"", "namespace metric_name statistic", "metric_dimension", ""},
	"metric_dimension":                {"name value", "", "", ""},
	"health_check":                    {"", "path matcher interval timeout healthy_threshold unhealthy_threshold", "", ""},
	"default_action":                  {"type", "target_group_arn", "", ""},
	"statement":                       {"", "actions resources effect", "principals condition", ""},
	"principals":                      {"type identifiers", "", "", ""},
	"condition":                       {"test variable values", "", "", ""},
	"aws_lb_listener_rule.condition":  {"", "", "path_pattern", ""},
	"path_pattern":                    {"values", "", "", ""},
	"action":                          {"type", "", "fixed_response", ""},
	"fixed_response":                  {"content_type", "message_body status_code", "", ""},
	"lifecycle":                       {"", "create_before_destroy ignore_changes prevent_destroy", "", ""},
}

// known returns the schema of a block.
func known(b *hclsyntax.Block) schema {
	prefix := ""
	if b.Type != "resource" {
		prefix = b.Type + "."
	}
	return schemas[prefix+b.Labels[0]]
}

// schema checks the arguments of a block, if it is one that a provider knows.
func (m *module) schema(b *hclsyntax.Block) {
	if !slices.Contains([]string{"resource", "data", "ephemeral"}, b.Type) {
		return
	}
	s := known(b)
	if s == (schema{}) {
		m.problem(b.DefRange(), "no schema of %s: add it to schema_test.go from the provider's documentation", b.Labels[0])
		return
	}
	s.optional += " " + metaArguments
	s.blocks += " " + metaBlocks
	m.arguments(strings.Join(b.Labels, "."), b, s)
}

func (m *module) arguments(name string, b *hclsyntax.Block, s schema) {
	for _, needed := range strings.Fields(s.required) {
		if b.Body.Attributes[needed] == nil {
			m.problem(b.DefRange(), "%s needs %s", name, needed)
		}
	}
	for given, a := range b.Body.Attributes {
		if !slices.Contains(strings.Fields(s.required+" "+s.optional), given) {
			m.problem(a.NameRange, "%s has no argument %s", name, given)
		}
	}
	for _, inner := range b.Body.Blocks {
		kind, body := inner.Type, inner
		if kind == "dynamic" {
			kind = inner.Labels[0]
			for _, content := range inner.Body.Blocks {
				body = content
			}
		}
		if !slices.Contains(strings.Fields(s.blocks), kind) {
			m.problem(inner.DefRange(), "%s has no block %s", name, kind)
			continue
		}
		resource, _, _ := strings.Cut(name, ".")
		s, own := blockSchemas[resource+"."+kind]
		if !own {
			s = blockSchemas[kind]
		}
		m.arguments(name+"."+kind, body, s)
	}
}
