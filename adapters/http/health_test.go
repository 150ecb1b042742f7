package http

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReady_WhenSomethingIsDisconnected_IsUnavailableOnlyWithoutADatabase(t *testing.T) {
	sound := Readiness{Leader: true, LeaderElected: true, Database: Connected, Broker: Connected, RateLimiter: Connected}
	for name, c := range map[string]struct {
		change   func(*Readiness)
		stopping bool
		code     int
		status   string
	}{
		"all is well":               {func(*Readiness) {}, false, 200, "ready"},
		"another coordinator leads": {func(r *Readiness) { r.Leader = false }, false, 200, "ready"},
		"no leader": {func(r *Readiness) { r.Leader, r.LeaderElected = false, false }, false, 200,
			"degraded"},
		"broker disconnected":       {func(r *Readiness) { r.Broker = Disconnected }, false, 200, "degraded"},
		"rate limiter disconnected": {func(r *Readiness) { r.RateLimiter = Disconnected }, false, 200, "degraded"},
		"replica disconnected":      {func(r *Readiness) { r.Replica = Disconnected }, false, 200, "degraded"},
		"archive disconnected":      {func(r *Readiness) { r.Archive = Disconnected }, false, 200, "degraded"},
		"checkpoints disconnected":  {func(r *Readiness) { r.Checkpoints = Disconnected }, false, 200, "degraded"},
		"checkpoints connected":     {func(r *Readiness) { r.Checkpoints = Connected }, false, 200, "ready"},
		"archive connected":         {func(r *Readiness) { r.Archive = Connected }, false, 200, "ready"},
		"replica connected":         {func(r *Readiness) { r.Replica = Connected }, false, 200, "ready"},
		"certificate valid":         {func(r *Readiness) { r.Certificate = CertificateValid }, false, 200, "ready"},
		"certificate not replaced": {func(r *Readiness) { r.Certificate = CertificateNotReplaced }, false, 200,
			"degraded"},
		"certificate expired":         {func(r *Readiness) { r.Certificate = CertificateExpired }, false, 200, "degraded"},
		"identity provider connected": {func(r *Readiness) { r.IdentityProvider = Connected }, false, 200, "ready"},
		"identity provider disconnected": {func(r *Readiness) { r.IdentityProvider = Disconnected }, false, 200,
			"degraded"},
		"encryption keys usable":  {func(r *Readiness) { r.EncryptionKeys = EncryptionUsable }, false, 200, "ready"},
		"encryption keys refused": {func(r *Readiness) { r.EncryptionKeys = EncryptionRefused }, false, 200, "ready"},
		"all but the database": {func(r *Readiness) {
			*r = Readiness{Database: Connected, Broker: Disconnected, RateLimiter: Disconnected}
		}, false, 200, "degraded"},
		"database disconnected":        {func(r *Readiness) { r.Database = Disconnected }, false, 503, "unavailable"},
		"database takes no writes":     {func(r *Readiness) { r.Database = NotWritable }, false, 503, "unavailable"},
		"draining":                     {func(*Readiness) {}, true, 503, "unavailable"},
		"nothing was looked at so far": {func(r *Readiness) { *r = Readiness{} }, false, 503, "unavailable"},
	} {
		s := newSurface(t)
		state := sound
		c.change(&state)
		s.Ready = func(context.Context) Readiness { return state }
		if c.stopping {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			s.Stopping = ctx
		}
		rec, _ := s.send("GET", "/ready", "")
		require.Equal(t, c.code, rec.Code, name)
		var got struct {
			Status       string `json:"status"`
			IsLeader     bool   `json:"is_leader"`
			Dependencies struct {
				Database         Dependency       `json:"database"`
				Broker           Dependency       `json:"broker"`
				RateLimiter      Dependency       `json:"rate_limiter"`
				Replica          Dependency       `json:"replica"`
				Archive          Dependency       `json:"archive"`
				Checkpoints      Dependency       `json:"checkpoints"`
				Certificate      CertificateState `json:"certificate"`
				IdentityProvider Dependency       `json:"identity_provider"`
				EncryptionKeys   EncryptionState  `json:"encryption_keys"`
				LeaderElected    bool             `json:"leader_elected"`
			} `json:"dependencies"`
		}
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &got), name)
		assert.Equal(t, c.status, got.Status, name)
		d := got.Dependencies
		said := Readiness{
			Leader: got.IsLeader, LeaderElected: d.LeaderElected, Database: d.Database, Broker: d.Broker,
			RateLimiter: d.RateLimiter, Replica: d.Replica, Archive: d.Archive,
			Checkpoints: d.Checkpoints, Certificate: d.Certificate,
			IdentityProvider: d.IdentityProvider, EncryptionKeys: d.EncryptionKeys,
		}
		assert.Equal(t, state, said, "%s: the answer names what is disconnected", name)
		health, _ := s.send("GET", "/health", "")
		require.Equal(t, 200, health.Code, name)
	}
}
