package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func customerCommand(c *cli) *cobra.Command {
	list := &cobra.Command{
		Use:     "list",
		Short:   "List customers; needs an admin key",
		Example: `  niyanta customer list -o jsonl`,
		Args:    cobra.NoArgs,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, _ []string) error {
			cs, err := niyanta.Collect(cl.Customers(cmd.Context()))
			if err != nil {
				return err
			}
			return printList(c, cmd, customers, cs, nil)
		}),
	}
	get := &cobra.Command{
		Use:   "get [ID]",
		Short: "Show limits and usage: your own, or with an admin key any customer's",
		Example: `  niyanta customer get
  niyanta customer get cust_acme`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.completeCustomer(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			u, err := niyanta.CustomerUsage{}, error(nil)
			if len(args) == 1 {
				u, err = cl.GetCustomer(cmd.Context(), args[0])
			} else {
				u, err = cl.Customer(cmd.Context())
			}
			if err != nil {
				return err
			}
			return c.printUsage(cmd, &u)
		}),
	}
	return c.flags(group("customer", "Onboard, show, change and delete customers", createCustomerCommand(c), list, get,
		updateCustomerCommand(c),
		suspendCommand(c, "suspend", "Suspend a customer: it may only read and cancel, and nothing new is placed",
			(*niyanta.Client).SuspendCustomer),
		suspendCommand(c, "reactivate", "End the suspension of a customer", (*niyanta.Client).ReactivateCustomer),
		deleteCustomerCommand(c)))
}

// printUsage prints a customer with its usage.
func (c *cli) printUsage(cmd *cobra.Command, u *niyanta.CustomerUsage) error {
	rows := [][2]string{
		{"customer", u.CustomerID}, {"name", u.Name}, {"tier", string(u.Tier)},
		{"running", fmt.Sprintf("%d of %d", u.Usage.CurrentRunningWorkloads, u.Limits.MaxConcurrentWorkloads)},
		{"queued", fmt.Sprintf("%d of %d", u.Usage.CurrentQueueDepth, u.Limits.MaxQueueDepth)},
		{"submitted today", fmt.Sprint(u.Usage.WorkloadsToday)},
		{"requests", fmt.Sprintf("%g/s, burst %d", u.Limits.RateLimitPerSec, u.Limits.Burst)},
		{"preemptible", fmt.Sprint(u.Preemptible)}, {"suspended", clockOr(u.SuspendedAt, "no")},
	}
	if u.EncryptionKeyID != nil {
		rows = append(rows, [2]string{"encryption key", *u.EncryptionKeyID})
	}
	if u.Deleting != nil {
		rows = append(rows, [2]string{"deleting", "since " + clock(u.Deleting.Since)}, [2]string{"remaining", remaining(u)})
	}
	return c.printDetails(cmd, u, rows)
}

// remaining returns how many workloads of a customer are not removed yet, as text.
func remaining(u *niyanta.CustomerUsage) string {
	if u.Deleting.RemainingEstimated {
		return fmt.Sprintf("more than %d workloads", u.Deleting.Remaining)
	}
	return fmt.Sprintf("%d workloads", u.Deleting.Remaining)
}

// deletionInterval is the time between two looks at the progress of a deletion.
const deletionInterval = time.Second

func deleteCustomerCommand(c *cli) *cobra.Command {
	var force, wait bool
	cmd := &cobra.Command{
		Use:   "delete ID",
		Short: "Delete a customer with all that it has; needs an admin key",
		Long: `Delete a customer with all that it has. It cannot be undone, and the id is never given out again.
While the customer has unfinished workloads, it is refused; with --force they are cancelled.
The customer's keys end and nothing is submitted for it from then on. The rest is removed in the
background; "niyanta customer get" shows the progress. With --wait, the command ends when nothing is
left. The audit of administrators stays.`,
		Example: `  niyanta customer delete cust_acme
  niyanta customer delete cust_acme --force --wait`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeCustomer(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			u, err := cl.DeleteCustomer(cmd.Context(), args[0], force)
			if err != nil {
				return err
			}
			if err := c.printUsage(cmd, &u); err != nil || !wait {
				return err
			}
			return awaitDeletion(cmd, cl, u)
		}),
	}
	cmd.Flags().BoolVar(&force, "force", false, "cancel what is unfinished")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until nothing of the customer is left")
	return cmd
}

// awaitDeletion waits until a customer is gone, and tells the progress.
func awaitDeletion(cmd *cobra.Command, cl *niyanta.Client, u niyanta.CustomerUsage) error {
	id, told := u.CustomerID, ""
	for {
		if left := remaining(&u); left != told {
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "remaining:", left)
			told = left
		}
		select {
		case <-cmd.Context().Done():
			return cmd.Context().Err()
		case <-time.After(deletionInterval):
		}
		var err error
		switch u, err = cl.GetCustomer(cmd.Context(), id); {
		case errors.Is(err, niyanta.ErrNotFound):
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "deleted", id)
			return nil
		case err != nil:
			return err
		case u.Deleting == nil:
			return fmt.Errorf("customer %s is not being deleted any more", id)
		}
	}
}

// suspendCommand returns a command that suspends or reactivates a customer.
func suspendCommand(
	c *cli, verb, short string, ask func(*niyanta.Client, context.Context, string) (niyanta.Customer, error),
) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " ID",
		Short:             short + "; needs an admin key",
		Example:           fmt.Sprintf("  niyanta customer %s cust_acme", verb),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.completeCustomer(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			cust, err := ask(cl, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printOne(c, cmd, customers, cust)
		}),
	}
}

func createCustomerCommand(c *cli) *cobra.Command {
	var id, tier, key string
	var preemptible bool
	var limits limitFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Onboard a customer; needs an admin key",
		Example: `  niyanta customer create 'Acme Ltd' --id cust_acme --tier premium --max-running 50
  niyanta key create cust_acme`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			in := niyanta.CustomerInput{CustomerID: set(id), Name: args[0], Tier: niyanta.Tier(tier),
				EncryptionKeyID: set(key)}
			if cmd.Flags().Changed("preemptible") {
				in.Preemptible = &preemptible
			}
			var err error
			if in.Limits, err = limits.input(); err != nil {
				return err
			}
			cust, err := cl.CreateCustomer(cmd.Context(), in)
			if err != nil {
				return err
			}
			return printOne(c, cmd, customers, cust)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&id, "id", "", "customer id (default: generated)")
	fs.StringVar(&tier, "tier", "standard", "free, standard, premium or enterprise")
	fs.BoolVar(&preemptible, "preemptible", true,
		"its running workloads may be preempted for those of a higher tier, if NIYANTA_PREEMPTION is on")
	keyFlag(cmd, &key, "")
	completeFlag(cmd, "id", cobra.NoFileCompletions)
	completeFlag(cmd, "tier", oneOf(tiers...))
	limits.flags(cmd, "default: the tier's")
	return cmd
}

var tiers = []string{"free", "standard", "premium", "enterprise"}

var customers = view[niyanta.Customer]{
	collection: "customers",
	columns: []column{
		{name: "CUSTOMER"}, {name: "NAME", text: true}, {name: "TIER"}, {name: "MAX RUNNING", rank: 3},
		{name: "MAX QUEUED", rank: 4}, {name: "PREEMPTIBLE", rank: 5}, {name: "CREATED", rank: 2},
		{name: "SUSPENDED", rank: 1},
	},
	row: func(x *niyanta.Customer) []any {
		return []any{
			x.CustomerID, x.Name, x.Tier, x.Limits.MaxConcurrentWorkloads, x.Limits.MaxQueueDepth,
			x.Preemptible, clock(x.CreatedAt), clockOr(x.SuspendedAt, "-"),
		}
	},
}
