package main

import (
	"github.com/spf13/cobra"

	"github.com/niyanta/niyanta/bootstrap"
)

func scaleExporterCommand() *cobra.Command {
	return group("scale-exporter", "Tell a cloud's autoscaler how many workers a pool needs", awsExporterCommand())
}

func awsExporterCommand() *cobra.Command {
	return &cobra.Command{
		Use:         "aws",
		Annotations: map[string]string{server: "scale-exporter"},
		Short:       "Serve an EC2 Auto Scaling group: metrics, protection, draining",
		Long: `Serve an EC2 Auto Scaling group. It publishes to CloudWatch how much waits for each worker and how
many workers there should be, protects machines whose workers have work from being chosen when the
group shrinks, and completes the lifecycle hook of a machine when its worker has drained.
NIYANTA_COORDINATOR_URL, NIYANTA_SCALER_KEY, NIYANTA_SCALER_POOL and NIYANTA_AWS_AUTOSCALING_GROUP
are required; region and credentials are found as the AWS SDK finds them. Several may run at once.
See docs/operations/scaling.md.`,
		Example: `  AWS_REGION=eu-central-1 NIYANTA_AWS_AUTOSCALING_GROUP=niyanta-workers NIYANTA_SCALER_POOL=cpu \
    NIYANTA_SCALER_KEY_FILE=/run/secrets/scaler NIYANTA_COORDINATOR_URL=https://niyanta.example.com \
    niyanta scale-exporter aws`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(bootstrap.RoleScaleExporter, nil)
			if err != nil {
				return err
			}
			x, err := bootstrap.NewAWSScaleExporter(cmd.Context(), cfg, version, logger(cfg, cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			return x.Run(cmd.Context())
		},
	}
}
