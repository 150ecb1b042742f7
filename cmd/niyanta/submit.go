package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// submitFlags are the flags of submit.
type submitFlags struct {
	input, affinity, runAt, key string
	priority, maxRetries        int
	labels                      []string
	gpus, cpu                   float64
	memoryMB, diskMB            int
	gpuModels, resources        []string
	timeout                     time.Duration
	wait                        bool
	waitTimeout                 time.Duration
}

func submitCommand(c *cli) *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:   "submit TYPE",
		Short: "Submit a workload",
		Long: `Submit a workload, and with --wait follow it to its end as watch does, with the same exit codes.
With --wait, the command goes on trying while no coordinator answers, and submits the workload once.
Workers offer sleep, http and the types of their authors, and exec for programs that they allow:
NIYANTA_EXEC_ALLOW=sh,ffmpeg niyanta dev`,
		Example: `  niyanta workload submit sleep --input '{"duration_ms": 3000, "steps": 10}' --wait
  niyanta workload submit exec --input @job.json --priority 100 --label team=billing`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeType,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			sub, err := f.submission(cmd, args[0])
			if err != nil {
				return err
			}
			if err := notNegative("wait-timeout", f.waitTimeout); err != nil {
				return err
			}
			ans, err := f.submit(cmd, cl, sub)
			if err != nil {
				return err
			}
			if ans.StatusReason != nil {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "it waits:", printable(*ans.StatusReason))
			}
			if f.wait {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "submitted", ans.WorkloadID)
				return c.follow(cmd, cl, ans.WorkloadID, f.waitTimeout)
			}
			return printOne(c, cmd, submitAnswers, ans)
		}),
	}
	f.flags(cmd)
	return cmd
}

func (f *submitFlags) flags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.input, "input", "{}", "input_params: JSON, @FILE, or - for standard input")
	fs.IntVar(&f.priority, "priority", 10, "0 to 1000")
	fs.IntVar(&f.maxRetries, "max-retries", 0, "tries after a failure of its own, 0 to 1000 (default: the config's)")
	fs.StringArrayVar(&f.labels, "label", nil, "key=value, repeatable")
	fs.StringVar(&f.affinity, "affinity", "", "affinity_rules: JSON, @FILE, or - for standard input")
	fs.DurationVar(&f.timeout, "timeout", 0,
		"timeout of one run, in whole seconds, rounded up; 0: none (default: the config's)")
	fs.Float64Var(&f.gpus, "gpus", 0, "a share of one GPU, 0.05 to 0.95, or a whole number of GPUs to reserve")
	fs.StringSliceVar(&f.gpuModels, "gpu-model", nil, "a model that the GPUs may be of, repeatable (default: any)")
	fs.Float64Var(&f.cpu, "cpu", 0, "processors to reserve")
	fs.IntVar(&f.memoryMB, "memory-mb", 0, "memory to reserve, in MiB")
	fs.IntVar(&f.diskMB, "disk-mb", 0, "disk to reserve, in MiB")
	fs.StringArrayVar(&f.resources, "resource", nil, "name=amount of what else workers have, to reserve, repeatable")
	fs.StringVar(&f.runAt, "run-at", "", "not before this time, RFC 3339")
	fs.StringVar(&f.key, "idempotency-key", "", "repeating the command with the same key submits once")
	fs.BoolVar(&f.wait, "wait", false, "follow it to its end")
	fs.DurationVar(&f.waitTimeout, "wait-timeout", 0, "give up waiting after this time (default: never)")
	for _, name := range []string{
		"priority", "max-retries", "label", "timeout", "run-at", "idempotency-key", "wait-timeout",
		"gpus", "gpu-model", "cpu", "memory-mb", "disk-mb", "resource",
	} {
		completeFlag(cmd, name, cobra.NoFileCompletions)
	}
}

// submit submits the workload. A command that waits for the workload also waits for a coordinator
// that is disconnected.
func (f *submitFlags) submit(
	cmd *cobra.Command, cl *niyanta.Client, sub niyanta.Submission,
) (ans niyanta.SubmitAnswer, err error) {
	if !f.wait {
		return cl.Submit(cmd.Context(), sub, f.key)
	}
	ctx, cancel := withTimeout(cmd.Context(), f.waitTimeout)
	defer cancel()
	ans, err = persistent(cl, newBar(cmd.ErrOrStderr(), true, "").say).Submit(ctx, sub, f.key)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return ans, &exit{exitTimeout, fmt.Errorf("no coordinator took the workload within %s", f.waitTimeout)}
	case errors.Is(err, context.Canceled):
		return ans, errors.New("interrupted before a coordinator took the workload")
	}
	return ans, err
}

var submitAnswers = view[niyanta.SubmitAnswer]{
	columns: []column{{name: "WORKLOAD"}, {name: "STATUS"}, {name: "ESTIMATED START", rank: 1}},
	row: func(a *niyanta.SubmitAnswer) []any {
		return []any{a.WorkloadID, a.Status, clockOr(a.EstimatedStartTime, "unknown")}
	},
}

func (f *submitFlags) submission(cmd *cobra.Command, workloadType string) (niyanta.Submission, error) {
	params, err := input(cmd, "input", f.input)
	if err != nil {
		return niyanta.Submission{}, err
	}
	sub := niyanta.Submission{WorkloadType: workloadType, InputParams: params}
	if cmd.Flags().Changed("priority") {
		sub.Priority = &f.priority
	}
	if cmd.Flags().Changed("max-retries") {
		sub.MaxRetries = &f.maxRetries
	}
	if len(f.labels) > 0 {
		labels, err := pairs("label", f.labels)
		if err != nil {
			return sub, err
		}
		sub.Labels = &labels
	}
	if err := f.reserve(cmd, &sub); err != nil {
		return sub, err
	}
	if f.affinity != "" {
		if err := inputInto(cmd, "affinity", f.affinity, &sub.AffinityRules); err != nil {
			return sub, err
		}
	}
	if cmd.Flags().Changed("timeout") {
		if err := notNegative("timeout", f.timeout); err != nil {
			return sub, err
		}
		sub.TimeoutSeconds = new(niyanta.Seconds(f.timeout))
	}
	if f.runAt != "" {
		t, err := moment("run-at", f.runAt)
		if err != nil {
			return sub, err
		}
		sub.RunAt = &t
	}
	return sub, nil
}

// reserve sets what the flags reserve. If none is set, the config decides.
func (f *submitFlags) reserve(cmd *cobra.Command, sub *niyanta.Submission) error {
	stated := false
	for _, name := range []string{"gpus", "gpu-model", "cpu", "memory-mb", "disk-mb", "resource"} {
		stated = stated || cmd.Flags().Changed(name)
	}
	if !stated {
		return nil
	}
	r := niyanta.Resources{
		CPUCores: f.cpu, MemoryMB: f.memoryMB, DiskMB: f.diskMB, GPUs: f.gpus, GPUModels: f.gpuModels,
	}
	amounts, err := pairs("resource", f.resources)
	if err != nil {
		return err
	}
	for name, amount := range amounts {
		n, err := strconv.ParseInt(amount, 10, 64)
		if err != nil {
			return usage(fmt.Errorf("--resource %s=%s: the amount must be a whole number", name, amount))
		}
		if r.Custom == nil {
			r.Custom = map[string]int64{}
		}
		r.Custom[name] = n
	}
	sub.Resources = &r
	return nil
}
