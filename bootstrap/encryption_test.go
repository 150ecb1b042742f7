package bootstrap

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/ports"
)

// TestCustomer_EncryptionKey_IsSetWhereAllStoragesEncrypt: nothing is written to the storages here.
func TestCustomer_EncryptionKey_IsSetWhereAllStoragesEncrypt(t *testing.T) {
	folder := "file://" + filepath.ToSlash(t.TempDir())
	const s3, key = "s3://bucket?region=us-east-1&endpoint=http%3A%2F%2F127.0.0.1%3A1", "arn:aws:kms:eu-central-1:1:key/a"
	for _, c := range []struct{ checkpoints, archive, refused string }{
		{"", "", "neither a storage of large checkpoints nor one of the archive"},
		{folder, "", "the storage of large checkpoints does not encrypt"},
		{s3, folder, "the storage of the archive does not encrypt"},
		{"mem://", s3, "the storage of large checkpoints does not encrypt"},
		{s3, s3, ""}, {s3, "", ""}, {"", s3, ""},
	} {
		cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0"})
		require.NoError(t, err)
		cfg.CheckpointURL, cfg.ArchiveURL = c.checkpoints, c.archive
		d, err := newDevOn(t.Context(), cfg, 0, "test", silent, func(cfg Config, log *slog.Logger) (*App, error) {
			return NewCoordinator(context.Background(), cfg, log)
		})
		require.NoError(t, err)
		a := newAPIOf(t, d)
		const all = "/v1/admin/customers"
		create := map[string]any{"customer_id": "cust_k", "name": "K", "tier": "free", "encryption_key_id": key}
		patch := func(body map[string]any) answer { return a.call("PATCH", all+"/cust_k", d.AdminKey, body) }
		if c.refused != "" {
			created := a.call("POST", all, d.AdminKey, create)
			a.refused(created, 400, "INVALID_INPUT", "encryption_key_id")
			assert.Contains(t, created.body, c.refused)
			create["encryption_key_id"] = "" // removes what may not be there
			assert.Equal(t, 201, a.call("POST", all, d.AdminKey, create).status)
			a.refused(patch(map[string]any{"encryption_key_id": key}), 400, "INVALID_INPUT", "encryption_key_id")
			assert.Equal(t, 200, patch(map[string]any{"encryption_key_id": ""}).status)
			require.NoError(t, d.Close(context.Background()))
			continue
		}
		created := a.call("POST", all, d.AdminKey, create)
		require.Equal(t, 201, created.status, created.body)
		assert.Equal(t, key, created.field("encryption_key_id"))
		assert.Equal(t, key, patch(map[string]any{"name": "L"}).field("encryption_key_id"), "left out it stays")
		assert.Equal(t, key, a.call("GET", all+"/cust_k", d.AdminKey, nil).field("encryption_key_id"))
		assert.Equal(t, "alias/b", patch(map[string]any{"encryption_key_id": "alias/b"}).field("encryption_key_id"))
		a.refused(patch(map[string]any{"encryption_key_id": "a b"}), 400, "INVALID_INPUT", "encryption_key_id")
		removed := patch(map[string]any{"encryption_key_id": ""})
		assert.Equal(t, 200, removed.status)
		assert.NotContains(t, removed.body, "encryption_key_id")
		audit := a.call("GET", "/v1/admin/audit?customer_id=cust_k", d.AdminKey, nil)
		assert.Contains(t, audit.body, `"encryption_key_id":"alias/b"`)
		assert.NotContains(t, a.call("GET", "/v1/customer", d.CustomerKey, nil).body, "encryption_key_id")
		require.NoError(t, d.Close(context.Background()))
	}
}

// encrypting is a storage that encrypts.
type encrypting struct{ ports.BlobStore }

func (encrypting) Encrypts() bool { return true }

func TestReadiness_WhenAStorageCannotUseAKey_SaysSoForAWhileAndStaysReady(t *testing.T) {
	ready := func(storage ports.BlobStore, count int, later time.Duration) answer {
		cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0"})
		require.NoError(t, err)
		d, err := newDevOn(t.Context(), cfg, 0, "test", silent, func(cfg Config, log *slog.Logger) (*App, error) {
			app, err := newMemoryApp(cfg, log)
			if err == nil {
				app.backends.Archive.BlobStore = storage
				watch := app.host.Observer.(*keyWatch)
				watch.Count("encryption_refused", count)
				watch.Count("checkpoint_damaged", 1)
				watch.clock = ahead{later}
			}
			return app, err
		})
		require.NoError(t, err)
		defer func() { require.NoError(t, d.Close(context.Background())) }()
		return newAPIOf(t, d).call("GET", "/ready", "", nil)
	}
	const field = "dependencies.encryption_keys"
	assert.NotContains(t, ready(nil, 1, 0).body, "encryption_keys", "nothing encrypts")
	assert.Equal(t, "usable", ready(encrypting{}, 0, 0).field(field))
	refused := ready(encrypting{}, 1, keyTrouble-time.Minute)
	assert.Equal(t, "refused", refused.field(field))
	assert.Equal(t, "ready", refused.field("status"), "no customer decides on that of all")
	assert.Equal(t, "usable", ready(encrypting{}, 1, keyTrouble).field(field), "nothing has waited for it since")
}

// ahead is a clock that is ahead of this machine's.
type ahead struct{ by time.Duration }

func (a ahead) Now() time.Time { return time.Now().Add(a.by) }
