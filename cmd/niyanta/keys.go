package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func keyCommand(c *cli) *cobra.Command {
	list := &cobra.Command{
		Use:   "list [CUSTOMER]",
		Short: "List a customer's keys, or those of operators, without secrets",
		Example: `  niyanta key list cust_acme
  niyanta key list`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.completeCustomer(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			if len(args) == 0 {
				ks, err := niyanta.Collect(cl.OperatorKeys(cmd.Context()))
				if err != nil {
					return err
				}
				return printList(c, cmd, operatorKeys, ks, nil)
			}
			ks, err := niyanta.Collect(cl.Keys(cmd.Context(), args[0]))
			if err != nil {
				return err
			}
			return printList(c, cmd, keys, ks, nil)
		}),
	}
	revoke := &cobra.Command{
		Use:   "revoke [CUSTOMER] KEY_ID",
		Short: "Revoke a customer's key, or an operator's, within 5 seconds everywhere",
		Example: `  niyanta key revoke cust_acme key_06h1hucd7pvef9gjsm82b7recc
  niyanta key revoke key_06h1hucd7pvef9gjsm82b7recc`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: c.completeKey,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			id := args[len(args)-1]
			revoke := func() error { return cl.RevokeOperatorKey(cmd.Context(), id) }
			if len(args) == 2 {
				revoke = func() error { return cl.RevokeKey(cmd.Context(), args[0], id) }
			}
			if err := revoke(); err != nil {
				return err
			}
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "revoked", id)
			return nil
		}),
	}
	return c.flags(group("key", "Make, list and revoke API keys; needs an admin key", createKeyCommand(c), list, revoke))
}

func createKeyCommand(c *cli) *cobra.Command {
	var role, name, workerIDs string
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use:   "create [CUSTOMER]",
		Short: "Make an API key of a customer, or of an operator; it is shown only once",
		Example: `  niyanta key create cust_acme
  niyanta key create cust_acme --role viewer --expires-in 720h
  niyanta key create --role admin --name Ada
  niyanta key create --role worker --name 'Rack 7' --worker-ids 'rack7-*'`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: c.completeCustomer(),
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, args []string) error {
			var expires *time.Time
			if cmd.Flags().Changed("expires-in") {
				if lifetime <= 0 {
					return usage(errors.New("--expires-in must be positive; leave it out for a key that never expires"))
				}
				at := time.Now().Add(lifetime).UTC()
				expires = &at
			}
			if len(args) == 0 {
				if name == "" {
					return usage(errors.New("a key of no customer needs --name and --role admin, scaler or worker"))
				}
				k, err := cl.CreateOperatorKey(cmd.Context(), niyanta.OperatorKeyInput{
					Name: name, Role: niyanta.OperatorRole(role), WorkerIds: set(workerIDs), ExpiresAt: expires,
				})
				if err != nil {
					return err
				}
				return shownOnce(k.KeyID, printOne(c, cmd, newOperatorKeys, k))
			}
			if workerIDs != "" {
				return usage(errors.New("--worker-ids is for keys of role worker, which belong to no customer"))
			}
			k, err := cl.CreateKey(cmd.Context(), args[0], niyanta.KeyInput{
				Role: niyanta.KeyRole(role), Name: set(name), ExpiresAt: expires,
			})
			if err != nil {
				return err
			}
			return shownOnce(k.KeyID, printOne(c, cmd, newKeys, k))
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&role, "role", "customer", "customer or viewer; without a customer: admin, scaler or worker")
	fs.StringVar(&name, "name", "", "who or what uses the key")
	fs.StringVar(&workerIDs, "worker-ids", "", "the worker ids that a worker's key is for, for example 'rack7-*'")
	fs.DurationVar(&lifetime, "expires-in", 0, "lifetime, for example 720h (default: for ever)")
	completeFlag(cmd, "role", oneOf("customer", "viewer", "admin", "scaler", "worker"))
	for _, flag := range []string{"name", "worker-ids", "expires-in"} {
		completeFlag(cmd, flag, cobra.NoFileCompletions)
	}
	return cmd
}

// shownOnce adds to the error of printing a new key what is left of the key.
func shownOnce(id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s was made, but its secret is lost, so revoke it: %w", printable(id), err)
}

var newKeys = view[niyanta.NewKey]{
	columns: []column{{name: "KEY ID", rank: 1}, {name: "ROLE", rank: 2}, {name: "KEY"}},
	row:     func(k *niyanta.NewKey) []any { return []any{k.KeyID, k.Role, k.Key} },
}

var newOperatorKeys = view[niyanta.NewOperatorKey]{
	columns: newKeys.columns,
	row:     func(k *niyanta.NewOperatorKey) []any { return []any{k.KeyID, k.Role, k.Key} },
}

var keys = view[niyanta.Key]{
	collection: "keys",
	columns: []column{
		{name: "KEY ID"}, {name: "NAME", text: true}, {name: "ROLE"}, {name: "PREFIX", text: true, rank: 4},
		{name: "CREATED", rank: 3}, {name: "EXPIRES", rank: 2}, {name: "REVOKED", rank: 1},
	},
	row: func(k *niyanta.Key) []any {
		return []any{
			k.KeyID, k.Name, k.Role, k.Prefix + "…", clock(k.CreatedAt), clockOr(k.ExpiresAt, "-"), clockOr(k.RevokedAt, "-"),
		}
	},
}

var operatorKeys = view[niyanta.OperatorKey]{
	collection: "keys",
	columns: []column{
		{name: "KEY ID"}, {name: "NAME", text: true}, {name: "ROLE"}, {name: "WORKERS", text: true},
		{name: "CREATED", rank: 3}, {name: "EXPIRES", rank: 2}, {name: "REVOKED", rank: 1},
	},
	row: func(k *niyanta.OperatorKey) []any {
		workers := "-"
		if k.WorkerIds != nil {
			workers = *k.WorkerIds
		}
		return []any{
			k.KeyID, k.Name, k.Role, workers, clock(k.CreatedAt), clockOr(k.ExpiresAt, "-"), clockOr(k.RevokedAt, "-"),
		}
	},
}
