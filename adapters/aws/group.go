package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/smithy-go"

	"github.com/niyanta/niyanta/core/ports"
)

const (
	// requestTimeout bounds one try of a request.
	requestTimeout = 5 * time.Second
	// tries bounds the tries of a request. The next round tries again anyway.
	tries = 3
	// protectLimit is how many machines one request may protect.
	protectLimit = 50
)

// Options configure a Group.
type Options struct {
	// Name is the name of the Auto Scaling group, Hook that of its lifecycle hook for terminations,
	// or empty.
	Name, Hook string
	// Namespace is where CloudWatch keeps the metrics, Pool a dimension of each.
	Namespace, Pool string
	// Config, if set, replaces the configuration that is found in the environment. Tests set it.
	Config *aws.Config
}

// Group implements ports.MachineGroup. Safe for concurrent use.
type Group struct {
	o           Options
	autoscaling *autoscaling.Client
	cloudwatch  *cloudwatch.Client
}

// Open returns the group. It asks nothing of AWS yet, except for the region if the environment does
// not name one.
func Open(ctx context.Context, o Options) (*Group, error) {
	if o.Config == nil {
		found, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, fmt.Errorf("find the AWS configuration: %w", err)
		}
		if found.Region == "" {
			return nil, errors.New("no AWS region: set AWS_REGION")
		}
		found.HTTPClient = &http.Client{Timeout: requestTimeout}
		o.Config = &found
	}
	cfg := o.Config.Copy()
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(r *retry.StandardOptions) { r.MaxAttempts = tries })
	}
	return &Group{o, autoscaling.NewFromConfig(cfg), cloudwatch.NewFromConfig(cfg)}, nil
}

// Machines implements ports.MachineGroup.
func (g *Group) Machines(ctx context.Context) ([]ports.Machine, error) {
	out, err := g.autoscaling.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{
		AutoScalingGroupNames: []string{g.o.Name},
	})
	if err != nil {
		return nil, failed(err)
	}
	for _, found := range out.AutoScalingGroups {
		if aws.ToString(found.AutoScalingGroupName) != g.o.Name {
			continue
		}
		machines := make([]ports.Machine, len(found.Instances))
		for i, in := range found.Instances {
			machines[i] = ports.Machine{
				ID: aws.ToString(in.InstanceId), State: state(in.LifecycleState), Protected: aws.ToBool(in.ProtectedFromScaleIn),
			}
		}
		return machines, nil
	}
	return nil, fmt.Errorf("there is no Auto Scaling group %s in %s", g.o.Name, g.o.Config.Region)
}

// state translates the state of an instance. Those of a warm pool and on standby are not in service
// and start nothing: they count as leaving.
func state(s types.LifecycleState) ports.MachineState {
	switch s {
	case types.LifecycleStatePending, types.LifecycleStatePendingWait, types.LifecycleStatePendingProceed:
		return ports.MachineStarting
	case types.LifecycleStateInService:
		return ports.MachineInService
	case types.LifecycleStateTerminatingWait:
		return ports.MachineWaiting
	default:
		return ports.MachineLeaving
	}
}

// Protect implements ports.MachineGroup.
func (g *Group) Protect(ctx context.Context, protect bool, ids ...string) error {
	var errs []error
	for some := range slices.Chunk(ids, protectLimit) {
		err := g.protect(ctx, protect, some)
		if len(some) > 1 && invalid(err) {
			// AWS refuses all of them for one that has gone.
			for _, id := range some {
				errs = append(errs, ignoreInvalid(g.protect(ctx, protect, []string{id})))
			}
			continue
		}
		errs = append(errs, ignoreInvalid(err))
	}
	return failed(errors.Join(errs...))
}

func (g *Group) protect(ctx context.Context, protect bool, ids []string) error {
	_, err := g.autoscaling.SetInstanceProtection(ctx, &autoscaling.SetInstanceProtectionInput{
		AutoScalingGroupName: &g.o.Name, InstanceIds: ids, ProtectedFromScaleIn: &protect,
	})
	return err
}

// Hold implements ports.MachineGroup.
func (g *Group) Hold(ctx context.Context, id string) error {
	_, err := g.autoscaling.RecordLifecycleActionHeartbeat(ctx, &autoscaling.RecordLifecycleActionHeartbeatInput{
		AutoScalingGroupName: &g.o.Name, LifecycleHookName: &g.o.Hook, InstanceId: &id,
	})
	return failed(ignoreInvalid(err))
}

// Release implements ports.MachineGroup.
func (g *Group) Release(ctx context.Context, id string) error {
	_, err := g.autoscaling.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{
		AutoScalingGroupName: &g.o.Name, LifecycleHookName: &g.o.Hook, InstanceId: &id,
		LifecycleActionResult: aws.String("CONTINUE"),
	})
	return failed(ignoreInvalid(err))
}

// invalid reports whether AWS refuses a request for what it names: an instance that is not in the
// group or not in service any more, or a lifecycle action that has ended.
func invalid(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "ValidationError"
}

// gone are parts of the messages with which AWS refuses a request for an instance that has gone or
// has changed its state. A wrong name of a group or of a hook is refused with the same code, and is a
// mistake that must show.
var gone = []string{
	"is not part of Auto Scaling group", "is not in InService", "Instance Id not found", "not found - No managed instance",
	"No active Lifecycle Action found", "is not in correct state",
}

// ignoreInvalid returns nil for the refusal of what has gone in the meantime.
func ignoreInvalid(err error) error {
	if !invalid(err) {
		return err
	}
	text := strings.ToLower(err.Error())
	if slices.ContainsFunc(gone, func(part string) bool { return strings.Contains(text, strings.ToLower(part)) }) {
		return nil
	}
	return err
}
