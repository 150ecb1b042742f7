package domain_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
)

func TestEncodeID_SortsAsItsBytesAndParsesInAnyCase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a, b [16]byte
		copy(a[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "a"))
		copy(b[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "b"))
		x, y := domain.EncodeID("wl_", a), domain.EncodeID("wl_", b)
		require.Equal(t, slices.Compare(a[:], b[:]), strings.Compare(x, y))
		got, ok := domain.ParseID("wl_", strings.ToUpper(x))
		require.True(t, ok)
		require.Equal(t, x, got)
	})
	for _, bad := range []string{
		"", "wl_", "wl_z", "cust_" + strings.Repeat("0", 26), "wl_" + strings.Repeat("w", 26),
		"wl_" + strings.Repeat("0", 27),
	} {
		_, ok := domain.ParseID("wl_", bad)
		assert.False(t, ok, bad)
	}
}

func TestParseKey_NamesItsCustomerAndPrefix(t *testing.T) {
	key := domain.APIKey{CustomerID: "cust_a_b"}.Format([20]byte{1, 2, 3})
	prefix, customer, ok := domain.KeyPrefix(key)
	require.True(t, ok)
	assert.Equal(t, domain.CustomerID("cust_a_b"), customer)
	assert.True(t, strings.HasPrefix(key, prefix))
	assert.Len(t, key, len(prefix)+24)
	for _, bad := range []string{
		"", "nyt_", "nyt_cust", "xyz_cust_a_" + strings.Repeat("0", 32), "nyt_cust_a_" + strings.Repeat("0", 31),
		"nyt_cust_\xff_" + strings.Repeat("0", 32), "nyt_cust_\x00_" + strings.Repeat("0", 32),
		"nyt_CUST_a_" + strings.Repeat("0", 32), "nyt_cust_a_" + strings.Repeat("\xff", 32),
		"nyt_cust_a_" + strings.Repeat("0", 31) + "\x00", "nyt_cust_a_" + strings.Repeat("0", 31) + "'",
		"nyt_" + strings.Repeat("0", 32),
	} {
		_, _, ok := domain.KeyPrefix(bad)
		assert.False(t, ok, bad)
	}
	k := domain.APIKey{ExpiresAt: epoch0}
	assert.Equal(t, time.Duration(1), k.UsableFor(epoch0.Add(-1)))
	assert.Zero(t, k.UsableFor(epoch0))
	assert.Zero(t, k.UsableFor(epoch0.Add(time.Hour)))
	assert.Zero(t, domain.APIKey{RevokedAt: epoch0}.UsableFor(epoch0.Add(-time.Hour)))
	assert.Equal(t, domain.KeyForever, domain.APIKey{}.UsableFor(epoch0))
}

func TestAdvance_VirtualTime_EqualsAgingPriority(t *testing.T) {
	type waiting struct {
		created  time.Time
		priority int
		tier     domain.Tier
	}
	draw := rapid.Custom(func(t *rapid.T) waiting {
		return waiting{
			epoch0.Add(time.Duration(rapid.IntRange(0, 1e6).Draw(t, "s")) * time.Second),
			rapid.IntRange(0, 1000).Draw(t, "priority"), rapid.SampledFrom(domain.Tiers()).Draw(t, "tier"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		now := epoch0.Add(time.Duration(rapid.IntRange(1e6, 1e8).Draw(t, "now")) * time.Second)
		// Twelfths of a point, so that the comparison is exact: 5 points a minute are one twelfth a
		// second.
		effective := func(w waiting) int64 {
			return 12*int64(w.priority)*int64(w.tier.Weight()) + int64(now.Sub(w.created)/time.Second)
		}
		at := func(w waiting) time.Time {
			return w.created.Add(-domain.PolicyPriority.Advance(w.priority, w.tier.Weight()))
		}
		require.Equal(t, effective(a) > effective(b), at(a).Before(at(b)))
	})
	assert.Zero(t, domain.PolicyFIFO.Advance(1000, domain.TierEnterprise.Weight()))
}

func TestLaneOf_DiffersInWhatPlacementLooksAt(t *testing.T) {
	base := domain.Spec{CustomerID: "cust_a", Type: "t", Run: domain.DefaultRunConfig()}
	changes := map[string]func(*domain.Spec){
		"customer":  func(s *domain.Spec) { s.CustomerID = "cust_b" },
		"type":      func(s *domain.Spec) { s.Type = "u" },
		"affinity":  func(s *domain.Spec) { s.Affinity.Soft.WorkerID = "w" },
		"resources": func(s *domain.Spec) { s.Run.Resources.MemoryMB++ },
		"priority":  func(s *domain.Spec) { s.Priority++ },
		"region":    func(s *domain.Spec) { s.Labels = map[string]string{"region": "eu"} },
	}
	for name, change := range changes {
		s := base
		change(&s)
		assert.NotEqual(t, domain.LaneOf(&base), domain.LaneOf(&s), name)
	}
	same := base
	same.ID, same.Input, same.Labels = "x", "{}", map[string]string{"a": "b"}
	assert.Equal(t, domain.LaneOf(&base), domain.LaneOf(&same))
}

func TestRules_RegionLabel_IsPreferredUnlessARuleNamesTheRegion(t *testing.T) {
	s := domain.Spec{Labels: map[string]string{"region": "eu"}}
	assert.Equal(t, map[string]string{"region": "eu"}, s.Rules().Soft.WorkerTags)
	assert.True(t, s.Affinity.IsZero(), "what the client stated stays as it is")
	s.Affinity.Hard.WorkerTags = map[string]string{"region": "us"}
	assert.Empty(t, s.Rules().Soft.WorkerTags)
	s.Affinity = domain.Affinity{
		Soft: domain.AffinityTerms{WorkerTags: map[string]string{"region": "us", "gpu": "yes"}},
	}
	assert.Equal(t, s.Affinity, s.Rules())
}

func TestLimits_AreTheTiersUnlessOverridden(t *testing.T) {
	c := domain.Customer{ID: "cust_a", Name: "A", Tier: domain.TierStandard, Overrides: domain.Limits{MaxQueueDepth: 7}}
	assert.Equal(t, domain.Limits{MaxConcurrent: 100, MaxQueueDepth: 7, RatePerSec: 10, Burst: 50}, c.Limits())
}

func TestValidate_NamesTheField(t *testing.T) {
	sub := func(change func(*domain.Submission)) error {
		s := domain.Submission{Spec: domain.Spec{Type: "t", Input: "{}", Run: domain.DefaultRunConfig()}}
		change(&s)
		return s.Validate()
	}
	require.NoError(t, sub(func(*domain.Submission) {}))
	long := strings.Repeat("x", 300)
	for field, err := range map[string]error{
		"workload_type": sub(func(s *domain.Submission) { s.Type = "-x" }),
		"input_params":  sub(func(s *domain.Submission) { s.Input = "[]" }),
		"priority":      sub(func(s *domain.Submission) { s.Priority = 1001 }),
		"labels": sub(func(s *domain.Submission) {
			s.Labels = map[string]string{"": "x"}
		}),
		"labels.k": sub(func(s *domain.Submission) {
			s.Labels = map[string]string{"k": "a\x00b"}
		}),
		"timeout_seconds":                        sub(func(s *domain.Submission) { s.Run.Timeout = -1 }),
		"Idempotency-Key":                        sub(func(s *domain.Submission) { s.IdempotencyKey = long }),
		"affinity_rules.hard_affinity.worker_id": sub(func(s *domain.Submission) { s.Affinity.Hard.WorkerID = "a b" }),
		"affinity_rules.soft_affinity.workload_types": sub(func(s *domain.Submission) {
			s.Affinity.Soft.WorkloadTypes = []string{""}
		}),
		"customer_id": domain.Customer{ID: "acme", Name: "A", Tier: domain.TierFree}.Validate(),
		"name":        domain.Customer{ID: "cust_a", Tier: domain.TierFree}.Validate(),
		"tier":        domain.Customer{ID: "cust_a", Name: "A", Tier: "gold"}.Validate(),
		"limits.burst": domain.Customer{ID: "cust_a", Name: "A", Tier: domain.TierFree,
			Overrides: domain.Limits{Burst: -1}}.Validate(),
		"slots": domain.Registration{WorkerID: "w", SessionID: "s",
			Capabilities: []string{"t"}}.Validate(),
		"worker_id":    domain.Registration{WorkerID: "a.b"}.Validate(),
		"capabilities": domain.Registration{WorkerID: "w", SessionID: "s", Slots: 1}.Validate(),
		"config_json": domain.WorkloadConfig{Type: "t",
			RunConfig: domain.RunConfig{Config: "7"}}.Validate(),
		"resource_limits.memory_mb": domain.WorkloadConfig{Type: "t",
			RunConfig: domain.RunConfig{Limits: domain.Amounts{MemoryMB: -1}}}.Validate(),
		"max_retries": domain.WorkloadConfig{Type: "t",
			RunConfig: domain.RunConfig{MaxRetries: 1001}}.Validate(),
	} {
		var e *domain.Error
		require.ErrorAs(t, err, &e, field)
		assert.Equal(t, domain.CodeInvalidInput, e.Code)
		assert.Equal(t, field, e.Details["field"])
		assert.Contains(t, e.Message, field)
	}
}

func TestValidate_TextThatNotEveryStoreKeeps_IsRefused(t *testing.T) {
	spec := domain.Spec{Type: "t", Input: "{}", Run: domain.DefaultRunConfig()}
	for _, bad := range []string{"\x00", "\xff", "\xed\xa0\x80", "a\x00b", "\xc3("} {
		for field, err := range map[string]error{
			"workload_type":   domain.Submission{Spec: domain.Spec{Type: "t" + bad, Input: "{}"}}.Validate(),
			"Idempotency-Key": domain.Submission{Spec: spec, IdempotencyKey: bad}.Validate(),
			"labels":          domain.ValidateTags("labels", map[string]string{bad: "v"}),
			"labels.k":        domain.ValidateTags("labels", map[string]string{"k": bad}),
			"worker_id":       domain.ValidateWorkerID(domain.WorkerID("w" + bad)),
			"customer_id":     domain.ValidateCustomerID(domain.CustomerID("cust_a" + bad)),
			"name":            domain.Customer{ID: "cust_a", Name: "N" + bad, Tier: domain.TierFree}.Validate(),
			"description":     domain.WorkloadConfig{Type: "t", Description: bad}.Validate(),
			"session_id":      domain.Registration{WorkerID: "w", SessionID: domain.SessionID("s" + bad)}.Validate(),
			"version": domain.Registration{WorkerID: "w", SessionID: "s", Capabilities: []string{"t"}, Slots: 1,
				Version: bad}.Validate(),
			"config_json": domain.WorkloadConfig{Type: "t",
				RunConfig: domain.RunConfig{Config: domain.JSON(`{"a":"` + bad + `"}`)}}.Validate(),
			"input_params": domain.Submission{Spec: domain.Spec{Type: "t",
				Input: domain.JSON(`{"a":"` + bad + `"}`)}}.Validate(),
		} {
			var e *domain.Error
			require.ErrorAs(t, err, &e, "%s: %q", field, bad)
			assert.Equal(t, domain.CodeInvalidInput, e.Code)
			assert.Equal(t, field, e.Details["field"], "%q", bad)
		}
	}
}

func TestNames_WhenThereIsNothingToSee_AreRefused(t *testing.T) {
	for _, blank := range []string{"", " ", "\t", "\u00a0", "\u2003\u2003", "\u200b", "\ufeff", "\u0085"} {
		require.Error(t, domain.Customer{ID: "cust_a", Name: blank, Tier: domain.TierFree}.Validate(), "%q", blank)
		require.Error(t, domain.ValidateTags("labels", map[string]string{blank: "v"}), "%q", blank)
	}
	require.Error(t, domain.ValidateTags("tags", map[string]string{"a=b": "v"}), "a filter could not name it")
	require.NoError(t, domain.ValidateTags("tags", map[string]string{"a": "b=c", "empty": "", "\u00e9": "x"}))
	require.NoError(t, domain.Customer{ID: "cust_a", Name: " \u65e5\u672c ", Tier: domain.TierFree}.Validate())
}

func TestParseTime_ReadsWhatRFC3339Allows(t *testing.T) {
	want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, s := range []string{
		"2026-01-02T03:04:05Z", "2026-01-02t03:04:05z", "2026-01-02T04:04:05+01:00", "2026-01-02t02:34:05-00:30",
		"2026-01-02T03:04:05.000000Z",
	} {
		got, err := domain.ParseTime("f", s)
		require.NoError(t, err, s)
		assert.Equal(t, want, got, s)
	}
	for _, s := range []string{
		"", "2026-01-02", "2026-01-02 03:04:05Z", "2026-01-02T03:04:05", "2026-13-02T03:04:05Z", "2026-02-29T03:04:05Z",
		"2026-01-02T24:00:00Z", "0001-01-01T00:00:00Z", "1999-12-31T23:59:59Z", "2200-01-01T00:00:00Z",
		"9999-12-31T23:59:59-01:00", "10000-01-01T00:00:00Z",
	} {
		_, err := domain.ParseTime("f", s)
		var e *domain.Error
		require.ErrorAs(t, err, &e, s)
		assert.Equal(t, "f", e.Details["field"])
	}
}

func TestError_IsRecognisedByItsCode(t *testing.T) {
	wrapped := errors.Join(errors.New("outer"), domain.NotFound("workload"))
	assert.Equal(t, domain.CodeNotFound, domain.CodeOf(wrapped))
	assert.True(t, domain.IsCode(wrapped, domain.CodeNotFound))
	require.ErrorIs(t, wrapped, &domain.Error{Code: domain.CodeNotFound})
	assert.Equal(t, domain.CodeInternal, domain.CodeOf(errors.New("x")))
	assert.Equal(t, domain.Code(""), domain.CodeOf(nil))
	base := domain.NewError(domain.CodeConflict, "x")
	_ = base.With("k", 1)
	assert.Empty(t, base.Details, "With copies")
}

func TestJSON_PassesThroughUnchanged(t *testing.T) {
	type box struct{ V domain.JSON }
	b, err := json.Marshal(box{`{"a":1}`})
	require.NoError(t, err)
	assert.JSONEq(t, `{"V":{"a":1}}`, string(b))
	var back box
	require.NoError(t, json.Unmarshal([]byte(`{"V": {"a": 1}}`), &back))
	assert.Equal(t, domain.JSON(`{"a": 1}`), back.V)
	require.NoError(t, json.Unmarshal([]byte(`{"V": null}`), &back))
	assert.Equal(t, domain.JSON(""), back.V)
	assert.True(t, domain.JSON(" {}").IsObject())
	for _, bad := range []domain.JSON{"", " ", "[]", "null", "1", `"{}"`} {
		assert.False(t, bad.IsObject(), bad)
	}
}
