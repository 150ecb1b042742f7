package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// limitFlags are the flags for a customer's limits. They are texts, because the value "tier" resets
// a limit to the tier's.
type limitFlags struct{ running, queued, rate, burst string }

func (f *limitFlags) flags(cmd *cobra.Command, otherwise string) {
	fs := cmd.Flags()
	fs.StringVar(&f.running, "max-running", "", "workloads that may run at once ("+otherwise+")")
	fs.StringVar(&f.queued, "max-queued", "", "workloads that may wait ("+otherwise+")")
	fs.StringVar(&f.rate, "rate", "", "requests per second ("+otherwise+")")
	fs.StringVar(&f.burst, "burst", "", "requests at once ("+otherwise+")")
	for _, name := range []string{"max-running", "max-queued", "rate", "burst"} {
		completeFlag(cmd, name, cobra.NoFileCompletions)
	}
}

// limits returns the limits that the flags set; 0 stands for the tier's limit. It returns nil if no
// flag was given.
func (f *limitFlags) limits() (*niyanta.LimitsInput, error) {
	if *f == (limitFlags{}) {
		return nil, nil //nolint:nilnil // no limit is no error
	}
	float := func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
	var in niyanta.LimitsInput
	var errs [4]error
	in.MaxConcurrentWorkloads, errs[0] = limit("max-running", f.running, strconv.Atoi)
	in.MaxQueueDepth, errs[1] = limit("max-queued", f.queued, strconv.Atoi)
	in.RateLimitPerSec, errs[2] = limit("rate", f.rate, float)
	in.Burst, errs[3] = limit("burst", f.burst, strconv.Atoi)
	return &in, errors.Join(errs[:]...)
}

// limit parses one limit: a number, or "tier". It returns nil if the flag was not given.
func limit[T int | float64](flag, text string, parse func(string) (T, error)) (*T, error) {
	switch text {
	case "":
		return nil, nil //nolint:nilnil // no limit is no error
	case "tier":
		return new(T), nil
	}
	n, err := parse(text)
	if err != nil || n <= 0 {
		return nil, usage(fmt.Errorf("--%s must be a positive number or tier, not %q", flag, text))
	}
	return &n, nil
}

// input returns the limits of a new customer, or nil if all are the tier's.
func (f *limitFlags) input() (*niyanta.LimitsInput, error) {
	for _, text := range []*string{&f.running, &f.queued, &f.rate, &f.burst} {
		if *text == "tier" {
			*text = ""
		}
	}
	return f.limits()
}

// patch returns the limits to change, or nil if there are none.
func (f *limitFlags) patch() (*niyanta.LimitsPatch, error) {
	in, err := f.limits()
	if in == nil || err != nil {
		return nil, err
	}
	return &niyanta.LimitsPatch{
		MaxConcurrentWorkloads: changed(in.MaxConcurrentWorkloads), MaxQueueDepth: changed(in.MaxQueueDepth),
		RateLimitPerSec: changed(in.RateLimitPerSec), Burst: changed(in.Burst),
	}, nil
}

func changed[T comparable](limit *T) (c niyanta.Change[T]) {
	if limit != nil {
		c = niyanta.To(*limit)
	}
	return c
}

// keyFlag adds the flag of the key that a customer's values are encrypted with.
func keyFlag(cmd *cobra.Command, key *string, more string) {
	cmd.Flags().StringVar(key, "encryption-key", "",
		"id of the key that its large checkpoints and its archive are encrypted with"+more)
	completeFlag(cmd, "encryption-key", cobra.NoFileCompletions)
}

// keyOrNone returns the id of a key, which is empty for "none".
func keyOrNone(key string) string {
	if key == "none" {
		return ""
	}
	return key
}

func updateCustomerCommand(c *cli) *cobra.Command {
	var name, tier, key string
	var preemptible bool
	var limits limitFlags
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change name, tier, limits or key of a customer; needs an admin key",
		Long: `Change name, tier, limits or encryption key of a customer. Values without a flag stay. The value
"tier" resets a limit to that of the tier. Needs an admin key.`,
		Example: `  niyanta customer update cust_acme --tier enterprise --max-queued 50000
  niyanta customer update cust_acme --rate tier`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeCustomer(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			p := niyanta.CustomerPatch{Name: set(name), Tier: set(niyanta.Tier(tier))}
			if cmd.Flags().Changed("preemptible") {
				p.Preemptible = &preemptible
			}
			if cmd.Flags().Changed("encryption-key") {
				p.EncryptionKeyID = new(keyOrNone(key))
			}
			var err error
			if p.Limits, err = limits.patch(); err != nil {
				return err
			}
			if p == (niyanta.CustomerPatch{}) {
				return usage(errors.New("nothing to change: say --name, --tier, --preemptible, --encryption-key or a limit"))
			}
			cust, err := cl.UpdateCustomer(cmd.Context(), args[0], p)
			if err != nil {
				return err
			}
			return printOne(c, cmd, customers, cust)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&name, "name", "", "its name")
	fs.StringVar(&tier, "tier", "", "free, standard, premium or enterprise")
	fs.BoolVar(&preemptible, "preemptible", false,
		"its running workloads may be preempted for those of a higher tier, if NIYANTA_PREEMPTION is on")
	keyFlag(cmd, &key, "; none removes it")
	completeFlag(cmd, "name", cobra.NoFileCompletions)
	completeFlag(cmd, "tier", oneOf(tiers...))
	limits.flags(cmd, "tier: the tier's")
	return cmd
}
