package niyanta

import (
	"context"
	"io"
	"iter"
	"net/http"

	"github.com/niyanta/niyanta/api/client"
)

// CreateConfig stores the customer's defaults for a workload type.
func (c *Client) CreateConfig(ctx context.Context, in ConfigInput) (WorkloadConfig, error) {
	return send[WorkloadConfig](ctx, in, func(body io.Reader) (*http.Response, error) {
		return c.api.CreateWorkloadConfigWithBody(ctx, jsonType, body)
	})
}

// UpdateConfig changes a config.
func (c *Client) UpdateConfig(ctx context.Context, id string, in ConfigChange) (WorkloadConfig, error) {
	return send[WorkloadConfig](ctx, in, func(body io.Reader) (*http.Response, error) {
		return c.api.UpdateWorkloadConfigWithBody(ctx, segment(id), jsonType, body)
	})
}

// Config returns a config.
func (c *Client) Config(ctx context.Context, id string) (WorkloadConfig, error) {
	return read[WorkloadConfig](ctx)(c.api.GetWorkloadConfig(ctx, segment(id)))
}

// Configs yields the customer's configs by type.
func (c *Client) Configs(ctx context.Context) iter.Seq2[WorkloadConfig, error] {
	return pages[WorkloadConfig](ctx, "configs", nil, func(cursor *string) (*http.Response, error) {
		return c.api.ListWorkloadConfigs(ctx, &client.ListWorkloadConfigsParams{Limit: new(pageSize), Cursor: cursor})
	})
}

// DeleteConfig removes a config that no unfinished workload uses.
func (c *Client) DeleteConfig(ctx context.Context, id string) error {
	return none(ctx)(c.api.DeleteWorkloadConfig(ctx, segment(id)))
}

// CreateCustomer onboards a customer. Needs an admin key, as all that follow.
func (c *Client) CreateCustomer(ctx context.Context, in CustomerInput) (Customer, error) {
	return send[Customer](ctx, in, func(body io.Reader) (*http.Response, error) {
		return c.api.CreateCustomerWithBody(ctx, jsonType, body)
	})
}

// GetCustomer returns a customer with its usage.
func (c *Client) GetCustomer(ctx context.Context, id string) (CustomerUsage, error) {
	return read[CustomerUsage](ctx)(c.api.GetCustomerByID(ctx, segment(id)))
}

// Customers yields all customers.
func (c *Client) Customers(ctx context.Context) iter.Seq2[Customer, error] {
	return pages[Customer](ctx, "customers", nil, func(cursor *string) (*http.Response, error) {
		return c.api.ListCustomers(ctx, &client.ListCustomersParams{Limit: new(pageSize), Cursor: cursor})
	})
}

// UpdateCustomer changes what the patch sets.
func (c *Client) UpdateCustomer(ctx context.Context, id string, p CustomerPatch) (Customer, error) {
	return send[Customer](ctx, p, func(body io.Reader) (*http.Response, error) {
		return c.api.UpdateCustomerWithBody(ctx, segment(id), jsonType, body)
	})
}

// SuspendCustomer lets a customer only read and cancel, and places none of its workloads. What runs
// finishes.
func (c *Client) SuspendCustomer(ctx context.Context, id string) (Customer, error) {
	return read[Customer](ctx)(c.api.SuspendCustomer(ctx, segment(id)))
}

// ReactivateCustomer takes back a suspension.
func (c *Client) ReactivateCustomer(ctx context.Context, id string) (Customer, error) {
	return read[Customer](ctx)(c.api.ReactivateCustomer(ctx, segment(id)))
}

// DeleteCustomer begins the deletion of a customer. From then on nothing is submitted or placed for
// it, and its keys have ended. All that it has is removed in the background; Deleting shows the
// progress, and at last GetCustomer returns ErrNotFound. The id is never given out again. While the
// customer has unfinished workloads, the error is ErrConflict; with force they are cancelled.
func (c *Client) DeleteCustomer(ctx context.Context, id string, force bool) (CustomerUsage, error) {
	return read[CustomerUsage](ctx)(c.api.DeleteCustomer(ctx, segment(id), &client.DeleteCustomerParams{Force: &force}))
}

// CreateKey makes an API key for a customer; it is shown only here.
func (c *Client) CreateKey(ctx context.Context, customer string, in KeyInput) (NewKey, error) {
	return send[NewKey](ctx, in, func(body io.Reader) (*http.Response, error) {
		return c.api.CreateKeyWithBody(ctx, segment(customer), jsonType, body)
	})
}

// Keys yields a customer's keys, without secrets.
func (c *Client) Keys(ctx context.Context, customer string) iter.Seq2[Key, error] {
	return pages[Key](ctx, "keys", nil, func(cursor *string) (*http.Response, error) {
		return c.api.ListKeys(ctx, segment(customer), &client.ListKeysParams{Limit: new(pageSize), Cursor: cursor})
	})
}

// RevokeKey ends a key.
func (c *Client) RevokeKey(ctx context.Context, customer, key string) error {
	return none(ctx)(c.api.RevokeKey(ctx, segment(customer), segment(key)))
}

// CreateOperatorKey makes a key that belongs to no customer; it is shown only here.
func (c *Client) CreateOperatorKey(ctx context.Context, in OperatorKeyInput) (NewOperatorKey, error) {
	return send[NewOperatorKey](ctx, in, func(body io.Reader) (*http.Response, error) {
		return c.api.CreateOperatorKeyWithBody(ctx, jsonType, body)
	})
}

// OperatorKeys yields the keys that belong to no customer, without secrets.
func (c *Client) OperatorKeys(ctx context.Context) iter.Seq2[OperatorKey, error] {
	return pages[OperatorKey](ctx, "keys", nil, func(cursor *string) (*http.Response, error) {
		return c.api.ListOperatorKeys(ctx, &client.ListOperatorKeysParams{Limit: new(pageSize), Cursor: cursor})
	})
}

// RevokeOperatorKey ends a key that belongs to no customer.
func (c *Client) RevokeOperatorKey(ctx context.Context, key string) error {
	return none(ctx)(c.api.RevokeOperatorKey(ctx, segment(key)))
}

// Workers yields workers with what they run.
func (c *Client) Workers(ctx context.Context) iter.Seq2[WorkerInfo, error] {
	return pages[WorkerInfo](ctx, "workers", nil, func(cursor *string) (*http.Response, error) {
		return c.api.ListWorkers(ctx, &client.ListWorkersParams{Limit: new(pageSize), Cursor: cursor})
	})
}

// Worker returns a worker with what it runs.
func (c *Client) Worker(ctx context.Context, id string) (WorkerInfo, error) {
	return read[WorkerInfo](ctx)(c.api.GetWorker(ctx, segment(id)))
}

// WorkerEvents yields a worker's audit trail, oldest first, behind the event with the id after. 0:
// from the first.
func (c *Client) WorkerEvents(ctx context.Context, id string, after int64) iter.Seq2[WorkerEvent, error] {
	return func(yield func(WorkerEvent, error) bool) {
		for after := after; ; {
			list, err := read[struct{ Events []WorkerEvent }](ctx)(c.api.ListWorkerEvents(
				ctx, id, &client.ListWorkerEventsParams{After: &after},
			))
			if err != nil {
				yield(WorkerEvent{}, err)
			}
			if err != nil || len(list.Events) == 0 {
				return
			}
			for _, e := range list.Events {
				if !yield(e, nil) {
					return
				}
				after = e.EventID
			}
		}
	}
}

// DrainWorker gives a worker no more work. Each of its runs saves a checkpoint, stops and goes on elsewhere;
// one that saves none begins anew.
func (c *Client) DrainWorker(ctx context.Context, id string) (WorkerInfo, error) {
	return read[WorkerInfo](ctx)(c.api.DrainWorker(ctx, segment(id)))
}

// UndrainWorker takes back a drain.
func (c *Client) UndrainWorker(ctx context.Context, id string) (WorkerInfo, error) {
	return read[WorkerInfo](ctx)(c.api.UndrainWorker(ctx, segment(id)))
}

// RemoveWorker forgets a worker; its work is redistributed at once.
func (c *Client) RemoveWorker(ctx context.Context, id string) error {
	return none(ctx)(c.api.RemoveWorker(ctx, segment(id)))
}
