package bootstrap

import (
	"fmt"
	"net/url"
	"strings"

	"pgregory.net/rapid"
)

// generated is a request as the generator made it. Where it names a workload or a config, it has a
// placeholder, because the two servers have given other ids to the same things.
type generated struct {
	who          string // whose key is sent; empty: none
	method, path string
	body         string // empty: none
	item         int    // which workload, or which config, the placeholders stand for
}

// The placeholders.
const (
	someWorkload = "@WORKLOAD@"
	someConfig   = "@CONFIG@"
	ownCustomer  = "@CUSTOMER@"
)

// Values that have been trouble somewhere. Each is JSON.
var (
	texts = []string{
		"", "a", " ", "\x00", "a\x00b", "\xed\xa0\x80", "\xff", strings.Repeat("é", 10), strings.Repeat("a", 255),
		strings.Repeat("a", 256), strings.Repeat("a", 5000), "a\nb", "a=b", "a,b", "%00", "../x", "'; drop", "\u202e",
		"😀", "sleep", "exec", "http", "\u0085", "\ufeff", "null", "-1", "1e3", "true", "{}", "\t", "PENDING",
		"created_at", "asc", "priority", "hour", "workload_type",
	}
	numbers = []string{
		"0", "-1", "1", "10", "999", "1000", "1001", "1e3", "1000.0", "1e400", "-0", "0.5", "9007199254740993",
		"123456789012345678901234567890", "NaN", "1e-400", "2147483648", "9223372036854775807", "9223372036854775808",
		"null", `"5"`, "true", "[]", "{}",
	}
	times = []string{
		`"2026-11-27T10:00:00Z"`, `"9999-12-31T23:59:59-01:00"`, `"0001-01-01T00:00:00Z"`, `"2026-11-27t10:00:00z"`,
		`"2026-11-27T10:00:00.123456789+05:30"`, `"2026-02-30T00:00:00Z"`, `"2026-11-27"`, `""`, "null", "5",
		`"2026-11-27T24:00:00Z"`, `"2026-11-27T23:59:60Z"`, `"9999-12-31T23:59:59Z"`, `"-0001-01-01T00:00:00Z"`,
		`"2100-01-01T00:00:00Z"`,
	}
	listParameters = []string{
		"limit", "offset", "cursor", "order_by", "order", "status", "workload_type", "label", "created_after",
		"created_before", "customer_id", "bogus",
	}
)

// maker makes requests from what rapid draws.
type maker struct{ t *rapid.T }

func (m maker) below(n int) int                 { return rapid.IntRange(0, n-1).Draw(m.t, "n") }
func (m maker) maybe(percent int) bool          { return m.below(100) < percent }
func (m maker) one(of ...string) string         { return rapid.SampledFrom(of).Draw(m.t, "of") }
func (m maker) from(of ...func() string) string { return of[m.below(len(of))]() }
func (m maker) number() string                  { return m.one(numbers...) }
func (m maker) time() string                    { return m.one(times...) }

// quoted returns a text as JSON, whatever bytes it has.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (m maker) text() string {
	if m.maybe(5) {
		return m.one(`"\ud800"`, `"x\udfff"`)
	}
	return quoted(m.one(texts...))
}

// object returns an object with up to n of these fields. A field is the name and what makes its value.
func (m maker) object(n int, fields ...field) string {
	var parts []string
	for range m.below(n + 1) {
		f := fields[m.below(len(fields))]
		parts = append(parts, quoted(f.name)+":"+f.value())
	}
	return "{" + strings.Join(parts, ",") + "}"
}

type field struct {
	name  string
	value func() string
}

func (m maker) list(n int, value func() string) string {
	parts := make([]string, m.below(n+1))
	for i := range parts {
		parts[i] = value()
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// any returns any JSON, to a depth.
func (m maker) any(depth int) string {
	within := func() string { return m.any(depth - 1) }
	switch k := m.below(8); {
	case k == 0:
		return m.number()
	case k == 1:
		return m.text()
	case k == 2:
		return m.time()
	case k == 3 && depth > 0:
		return m.list(3, within)
	case k == 4 && depth > 0:
		return m.object(3, field{"a", within}, field{"b", within}, field{"", within}, field{"a\x00", within},
			field{"worker_id", within}, field{"worker_tags", within}, field{"duration_ms", within})
	}
	return m.one("null", "[]", "{}", "true", "false")
}

func (m maker) anything() string { return m.any(3) }

func (m maker) labels() string {
	return m.from(m.anything, func() string {
		var fields []field
		for range 3 {
			fields = append(fields, field{m.one(texts...), m.text})
		}
		return m.object(3, fields...)
	}, func() string {
		var parts []string
		for i := range []int{1, 16, 32, 33, 64, 65}[m.below(6)] {
			parts = append(parts, fmt.Sprintf(`"k%d":"v"`, i))
		}
		return "{" + strings.Join(parts, ",") + "}"
	})
}

func (m maker) affinity() string {
	part := func() string {
		return m.from(m.anything, func() string {
			return m.object(2, field{"worker_id", m.text}, field{"worker_tags", m.labels},
				field{"workload_types", func() string { return m.list(2, m.text) }})
		})
	}
	return m.object(3, field{"hard_affinity", part}, field{"soft_affinity", part}, field{"anti_affinity", part},
		field{"hard", part})
}

func (m maker) amounts() string {
	return m.object(3, field{"cpu_cores", m.number}, field{"memory_mb", m.number}, field{"gpus", m.number},
		field{"custom", m.anything})
}

func (m maker) submission() string {
	var parts []string
	add := func(name, value string) { parts = append(parts, quoted(name)+":"+value) }
	if m.maybe(95) {
		add("workload_type", m.from(func() string { return `"sleep"` }, func() string { return `"sleep"` }, m.text))
	}
	if m.maybe(95) {
		add("input_params", m.from(func() string { return `{"duration_ms":5,"steps":1}` },
			func() string { return `{}` }, m.anything))
	}
	optional := []field{
		{"priority", m.number}, {"labels", m.labels}, {"affinity_rules", m.affinity}, {"timeout_seconds", m.number},
		{"run_at", m.time}, {"max_retries", m.number}, {"resources", m.amounts}, {"idempotency_key", m.text},
		{"status", m.text}, {"customer_id", m.text}, {"retry_backoff", m.anything}, {"workload_type", m.text},
	}
	for range m.below(4) {
		f := optional[m.below(len(optional))]
		add(f.name, f.value())
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (m maker) query(names ...string) string {
	var parts []string
	for range m.below(3) {
		value := strings.Trim(m.from(func() string { return m.one(texts...) }, m.number, m.time), `"`)
		parts = append(parts, m.one(names...)+"="+url.QueryEscape(value))
	}
	if len(parts) == 0 {
		return ""
	}
	return "?" + strings.Join(parts, "&")
}

func (m maker) segment() string { return url.PathEscape(m.one(texts...)) }

func (m maker) filter() string {
	value := func() string { return m.from(m.text, m.time, func() string { return `["PENDING"]` }, m.anything) }
	return m.object(2, field{"status", value}, field{"workload_type", value}, field{"label", value},
		field{"labels", value}, field{"created_after", value}, field{"created_before", value}, field{"customer_id", value})
}

// request makes a request.
func (m maker) request() generated {
	g := []func() generated{
		m.submit, m.submit, m.submit, m.read, m.read, m.control, m.bulk, m.configs, m.customers, m.keys, m.administration,
		m.odd,
	}[m.below(12)]()
	g.item = m.below(1000)
	return g
}

func (m maker) submit() generated {
	if m.maybe(20) {
		return generated{who: "customer", method: "POST", path: "/v1/workloads/batch",
			body: `{"workloads":` + m.list(3, m.submission) + "}"}
	}
	return generated{who: "customer", method: "POST", path: "/v1/workloads", body: m.submission()}
}

func (m maker) read() generated {
	g := generated{who: m.one("customer", "viewer", "admin"), method: "GET"}
	g.path = m.from(
		func() string { return "/v1/workloads" + m.query(listParameters...) },
		func() string {
			return "/v1/workloads/" + someWorkload + m.one("", "/logs", "/audit", "/checkpoints", "/placement") +
				m.query("limit", "since", "until", "cursor", "offset", "order")
		},
		func() string { return "/v1/customer/stats" + m.query("start_date", "end_date", "group_by") },
		func() string { return m.one("/v1/customer", "/v1/metrics/queue-depth") },
		func() string { return "/v1/workload-configs" + m.query("limit", "cursor", "offset", "workload_type") },
	)
	return g
}

func (m maker) control() generated {
	return generated{
		who: m.one("customer", "viewer", "admin"), method: "POST",
		path: "/v1/workloads/" + someWorkload + "/" + m.one("cancel", "pause", "resume", "retry", "checkpoint"),
		body: m.from(func() string { return "" }, func() string {
			return m.object(2, field{"reason", m.text}, field{"from_checkpoint", m.number},
				field{"from_scratch", func() string { return "true" }})
		}, m.anything),
	}
}

func (m maker) bulk() generated {
	ids := func() string {
		return m.from(func() string {
			return m.one(`["`+someWorkload+`"]`, `["`+someWorkload+`","`+someWorkload+`"]`, "[]", `["x"]`)
		}, m.anything)
	}
	return generated{
		who: m.one("customer", "admin"), method: "POST",
		path: "/v1/workloads/batch/" + m.one("cancel", "pause", "resume", "retry"),
		body: m.object(3, field{"workload_ids", ids}, field{"filter", m.filter},
			field{"dry_run", func() string { return m.one("true", "false", "1") }}, field{"cursor", m.text},
			field{"reason", m.text}),
	}
}

func (m maker) configs() generated {
	body := func() string {
		return m.object(5, field{"workload_type", func() string { return fmt.Sprintf(`"t%d"`, m.below(50)) }},
			field{"workload_type", m.text}, field{"description", m.text}, field{"config_json", m.anything},
			field{"resource_limits", m.amounts}, field{"checkpoint_interval_sec", m.number}, field{"max_retries", m.number},
			field{"timeout_seconds", m.number}, field{"retry_backoff", func() string {
				return m.object(3, field{"initial_seconds", m.number}, field{"factor", m.number}, field{"max_seconds", m.number})
			}})
	}
	if m.maybe(50) {
		return generated{who: "customer", method: "POST", path: "/v1/workload-configs", body: body()}
	}
	return generated{who: "customer", method: m.one("GET", "PUT", "DELETE", "PATCH"),
		path: "/v1/workload-configs/" + someConfig, body: m.from(func() string { return "" }, body, m.anything)}
}

func (m maker) customers() generated {
	if m.maybe(30) {
		return generated{who: "admin", method: "GET", path: "/v1/admin/customers/" + m.segment()}
	}
	return generated{who: "admin", method: "POST", path: "/v1/admin/customers",
		body: m.object(4, field{"customer_id", m.text}, field{"name", m.text},
			field{"tier", func() string { return m.one(`"free"`, `"gold"`, "5") }}, field{"limits", func() string {
				return m.object(2, field{"burst", m.number}, field{"max_queue_depth", m.number},
					field{"rate_limit_per_sec", m.number})
			}})}
}

func (m maker) keys() generated {
	role := func() string {
		return m.from(func() string { return m.one(`"admin"`, `"worker"`, `"viewer"`, `"customer"`, `"scaler"`) }, m.text)
	}
	return generated{who: "admin", method: "POST",
		path: m.one("/v1/admin/keys", "/v1/admin/customers/"+ownCustomer+"/keys"),
		body: m.object(4, field{"name", m.text}, field{"role", role}, field{"expires_at", m.time},
			field{"worker_ids", m.anything})}
}

func (m maker) administration() generated {
	return generated{who: "admin", method: "GET", path: m.from(
		func() string { return "/v1/admin/workloads" + m.query(listParameters...) },
		func() string {
			return "/v1/admin/audit" + m.query("limit", "cursor", "actor_id", "since", "until", "event_type")
		},
		func() string { return "/v1/admin/workers" + m.query("limit", "cursor") },
		func() string { return "/v1/admin/workers/" + m.segment() + m.one("", "/events") },
	)}
}

func (m maker) odd() generated {
	return generated{
		who: m.one("customer", "admin", "viewer", ""), method: m.one("GET", "POST", "DELETE", "PUT", "OPTIONS", "FOO"),
		path: "/v1/" + m.from(func() string {
			return m.one("workloads", "workloads/", "workloads//x", "workloads/%2e%2e/customer", "ws/tickets",
				"ws/workloads/x", "events/x", "customer;a=b", "admin/customers/"+ownCustomer+"/suspendx", "session")
		}, func() string { return "workloads/" + m.segment() }),
	}
}
