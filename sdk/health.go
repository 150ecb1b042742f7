package niyanta

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// Health is what a coordinator says of its process. What an older version does not say is zero.
type Health struct {
	Status string `json:"status"`

	// Timestamp is the coordinator's time when it answered.
	Timestamp     time.Time `json:"timestamp"`
	UptimeSeconds int       `json:"uptime_seconds"`
	Version       string    `json:"version"`
}

// Readiness says whether a coordinator can serve.
type Readiness struct {
	// Dependencies are as of the coordinator's last check, each "connected" or what is wrong.
	Dependencies struct {
		Broker        string  `json:"broker"`
		Database      string  `json:"database"`
		LeaderElected bool    `json:"leader_elected"`
		RateLimiter   string  `json:"rate_limiter"`
		Replica       *string `json:"replica,omitempty"`
		Archive       *string `json:"archive,omitempty"`
		Checkpoints   *string `json:"checkpoints,omitempty"`
		// IdentityProvider is whether the provider of tokens answers.
		IdentityProvider *string `json:"identity_provider,omitempty"`
		// EncryptionKeys is "refused" if a storage could not use a customer's key lately, else "usable".
		EncryptionKeys *string `json:"encryption_keys,omitempty"`
		// Certificate is how the certificate that the coordinator shows stands: "valid", "not_replaced"
		// or "expired".
		Certificate *string `json:"certificate,omitempty"`
	} `json:"dependencies"`
	IsLeader bool `json:"is_leader"`

	// Status is ready, degraded (it serves, but not all that it needs is there) or unavailable.
	Status string `json:"status"`
}

// Health asks a coordinator whether its process is alive. It needs no key.
func (c *Client) Health(ctx context.Context) (Health, error) {
	return read[Health](ctx)(c.get(ctx, "/health"))
}

// Ready asks a coordinator whether it can serve. That it cannot is no error. It needs no key.
func (c *Client) Ready(ctx context.Context) (Readiness, error) {
	resp, err := c.With(RetryFor(0)).get(ctx, "/ready")
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		return read[Readiness](ctx)(resp, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return Readiness{}, err
	}
	var r Readiness
	if json.Unmarshal(body, &r) == nil && r.Status != "" {
		return r, nil
	}
	resp.Body = io.NopCloser(bytes.NewReader(body)) // another 503, such as a proxy's
	return read[Readiness](ctx)(resp, nil)
}

// get sends a request without a key.
func (c *Client) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.api.Server+path[1:], nil)
	if err != nil {
		return nil, err
	}
	return c.sender.Do(req)
}
