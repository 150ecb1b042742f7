package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func workerCommand(hard context.Context, c *cli) *cobra.Command {
	var takeOver bool
	cmd := &cobra.Command{
		Use:         "worker",
		Annotations: map[string]string{server: "worker"},
		Short:       "Run a worker with the built-in types, or look after workers",
		Long: `Without a subcommand, run a worker with the built-in types (sleep, http, and exec if NIYANTA_EXEC_ALLOW names programs).
It reaches its coordinators over the bus that NIYANTA_BUS names, and over HTTP at NIYANTA_COORDINATOR_URL with NIYANTA_WORKER_KEY: alone,
or for what is too large for the bus and while that is away.
The first SIGTERM drains it, the second ends it. The subcommands need an admin key.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runWorker(hard, cmd, takeOver) },
	}
	cmd.Flags().BoolVar(&takeOver, "take-over", false, "end the session of another process that holds the worker id, although its lease still runs")
	list := &cobra.Command{
		Use:   "list",
		Short: "List workers",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			ws, err := cl.Workers(cmd.Context())
			if err != nil {
				return err
			}
			return c.showWorkers(cmd, ws, ws)
		},
	}
	drain := &cobra.Command{
		Use:   "drain ID",
		Short: "Have a worker finish: no new work, what runs is checkpointed and given back",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			w, err := cl.DrainWorker(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.showWorkers(cmd, w, []niyanta.WorkerInfo{w})
		},
	}
	undrain := &cobra.Command{
		Use:   "undrain ID",
		Short: "Take back a drain: the worker gets work again",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			w, err := cl.UndrainWorker(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.showWorkers(cmd, w, []niyanta.WorkerInfo{w})
		},
	}
	remove := &cobra.Command{
		Use:   "remove ID",
		Short: "Forget a worker; its work is redistributed at once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			if err := cl.RemoveWorker(cmd.Context(), args[0]); err != nil {
				return err
			}
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "removed", args[0])
			return nil
		},
	}
	cmd.AddCommand(list, drain, undrain, remove)
	return c.flags(cmd)
}

func (c *cli) showWorkers(cmd *cobra.Command, v any, ws []niyanta.WorkerInfo) error {
	rows := make([][]any, len(ws))
	for i, w := range ws {
		rows[i] = []any{
			w.WorkerID, w.Status, fmt.Sprintf("%d/%d", w.SlotsInUse, w.Slots), strings.Join(w.Capabilities, ","),
			clock(w.LastHeartbeatAt), w.Version,
		}
	}
	return c.show(cmd, v, []any{"WORKER", "STATUS", "SLOTS", "TYPES", "LAST HEARTBEAT", "VERSION"}, rows)
}

func customerCommand(c *cli) *cobra.Command {
	var id, tier string
	var preemptible bool
	create := &cobra.Command{
		Use:   "create NAME",
		Short: "Onboard a customer",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			in := niyanta.CustomerInput{CustomerID: set(id), Name: args[0], Tier: niyanta.Tier(tier)}
			if cmd.Flags().Changed("preemptible") {
				in.Preemptible = &preemptible
			}
			cust, err := cl.CreateCustomer(cmd.Context(), in)
			if err != nil {
				return err
			}
			return c.showCustomers(cmd, cust, []niyanta.Customer{cust})
		},
	}
	create.Flags().StringVar(&id, "id", "", "customer id (default: generated)")
	create.Flags().StringVar(&tier, "tier", "standard", "free, standard, premium or enterprise")
	create.Flags().BoolVar(&preemptible, "preemptible", true, "its running workloads may be asked to make room for a higher tier's, where NIYANTA_PREEMPTION is on")
	list := &cobra.Command{
		Use:   "list",
		Short: "List customers",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			cs, err := cl.Customers(cmd.Context())
			if err != nil {
				return err
			}
			return c.showCustomers(cmd, cs, cs)
		},
	}
	get := &cobra.Command{
		Use:   "get [ID]",
		Short: "Show limits and usage: your own, or with an admin key any customer's",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			look := func() (niyanta.CustomerUsage, error) { return cl.Customer(cmd.Context()) }
			if len(args) == 1 {
				look = func() (niyanta.CustomerUsage, error) { return cl.GetCustomer(cmd.Context(), args[0]) }
			}
			u, err := look()
			if err != nil {
				return err
			}
			return c.show(cmd, u, nil, [][]any{
				{"customer", u.CustomerID}, {"name", u.Name}, {"tier", u.Tier},
				{"running", fmt.Sprintf("%d of %d", u.Usage.RunningWorkloads, u.Limits.MaxConcurrentWorkloads)},
				{"queued", fmt.Sprintf("%d of %d", u.Usage.QueuedWorkloads, u.Limits.MaxQueueDepth)},
				{"paused", u.Usage.PausedWorkloads},
				{"requests", fmt.Sprintf("%g/s, burst %d", u.Limits.RateLimitPerSec, u.Limits.Burst)},
				{"preemptible", u.Preemptible},
			})
		},
	}
	return c.flags(group("customer", "Onboard and show customers", create, list, get))
}

func (c *cli) showCustomers(cmd *cobra.Command, v any, cs []niyanta.Customer) error {
	rows := make([][]any, len(cs))
	for i, x := range cs {
		rows[i] = []any{x.CustomerID, x.Name, x.Tier, x.Limits.MaxConcurrentWorkloads, x.Limits.MaxQueueDepth, x.Preemptible, clock(x.CreatedAt)}
	}
	return c.show(cmd, v, []any{"CUSTOMER", "NAME", "TIER", "MAX RUNNING", "MAX QUEUED", "PREEMPTIBLE", "CREATED"}, rows)
}

func keyCommand(c *cli) *cobra.Command {
	var role string
	var expires time.Duration
	create := &cobra.Command{
		Use:   "create CUSTOMER",
		Short: "Make an API key; it is shown only once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			in := niyanta.KeyInput{Role: niyanta.KeyRole(role)}
			if cmd.Flags().Changed("expires-in") {
				if expires <= 0 {
					return usage(errors.New("--expires-in must be positive; leave it out for a key that never expires"))
				}
				at := time.Now().Add(expires).UTC()
				in.ExpiresAt = &at
			}
			k, err := cl.CreateKey(cmd.Context(), args[0], in)
			if err != nil {
				return err
			}
			return c.show(cmd, k, []any{"KEY ID", "ROLE", "KEY"}, [][]any{{k.KeyID, k.Role, k.Key}})
		},
	}
	create.Flags().StringVar(&role, "role", "customer", "customer or viewer")
	create.Flags().DurationVar(&expires, "expires-in", 0, "lifetime (default: for ever)")
	list := &cobra.Command{
		Use:   "list CUSTOMER",
		Short: "List a customer's keys, without secrets",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			ks, err := cl.Keys(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			rows := make([][]any, len(ks))
			for i, k := range ks {
				rows[i] = []any{k.KeyID, k.Role, k.Prefix + "…", clock(k.CreatedAt), or(k.ExpiresAt, "-"), or(k.RevokedAt, "-")}
			}
			return c.show(cmd, ks, []any{"KEY ID", "ROLE", "PREFIX", "CREATED", "EXPIRES", "REVOKED"}, rows)
		},
	}
	revoke := &cobra.Command{
		Use:   "revoke CUSTOMER KEY_ID",
		Short: "Revoke a key, within 5 seconds everywhere",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			return cl.RevokeKey(cmd.Context(), args[0], args[1])
		},
	}
	return c.flags(group("key", "Make, list and revoke API keys", create, list, revoke))
}
