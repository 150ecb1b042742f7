package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/niyanta/niyanta/core/ports"
)

// Publish implements ports.MachineGroup. Two exporters that publish at once give two samples of the
// same figure. So alarms must look at the average or the maximum, never at the sum.
func (g *Group) Publish(ctx context.Context, f ports.GroupFigures) error {
	dimensions := []types.Dimension{
		{Name: aws.String("AutoScalingGroupName"), Value: &g.o.Name}, {Name: aws.String("Pool"), Value: &g.o.Pool},
	}
	var data []types.MetricDatum
	for _, m := range []struct {
		name  string
		value float64
		unit  types.StandardUnit
	}{
		{"WaitingPerWorker", f.WaitingPerWorker, types.StandardUnitCount},
		{"Waiting", float64(f.Waiting), types.StandardUnitCount},
		{"Running", float64(f.Running), types.StandardUnitCount},
		{"Capacity", float64(f.Capacity), types.StandardUnitCount},
		{"Workers", float64(f.Workers), types.StandardUnitCount},
		{"DesiredWorkers", float64(f.Desired), types.StandardUnitCount},
		{"MissingWorkers", float64(f.Missing), types.StandardUnitCount},
		{"SpareWorkers", float64(f.Spare), types.StandardUnitCount},
		{"OldestWait", f.OldestWait.Seconds(), types.StandardUnitSeconds},
	} {
		data = append(data, types.MetricDatum{
			MetricName: &m.name, Value: &m.value, Unit: m.unit, Timestamp: &f.At, Dimensions: dimensions,
		})
	}
	_, err := g.cloudwatch.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: &g.o.Namespace, MetricData: data})
	return failed(err)
}
