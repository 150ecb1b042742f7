// Package aws implements ports.MachineGroup on an EC2 Auto Scaling group and CloudWatch. Region and
// credentials are found as the AWS SDK finds them: from the environment, from the roles of a pod or a
// task, or from the machine's instance profile. Credentials that expire are fetched again.
//
// Only the command "niyanta scale-exporter aws" uses it. No worker, coordinator or SDK does.
package aws
