package bootstrap

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/coordinator"
)

//go:generate go test -run TestSettingsPage_OfThisCode_IsCurrent -count=1 . -args -write-settings

var writeSettings = flag.Bool("write-settings", false, "write docs/operations/settings.md instead of comparing it")

const settingsPage = "../docs/operations/settings.md"

// TestSettingsPage_OfThisCode_IsCurrent compares the page of settings with the comments and tags of
// Config.
func TestSettingsPage_OfThisCode_IsCurrent(t *testing.T) {
	page := renderSettings(t, describedSettings(t))
	if *writeSettings {
		require.NoError(t, os.WriteFile(settingsPage, []byte(page), 0o644)) //nolint:gosec // a document
		return
	}
	committed, err := os.ReadFile(settingsPage)
	require.NoError(t, err)
	assert.Equal(t, string(committed), page, "run make generate")
}

// TestConfig_OutsideItsBounds_IsRefused tries the values at both sides of every bound that a tag
// states, and every choice.
func TestConfig_OutsideItsBounds_IsRefused(t *testing.T) {
	tried := 0
	for _, s := range describedSettings(t) {
		var good, bad []string
		for _, choice := range strings.Fields(s.tag.Get("choices")) {
			good, bad = append(good, choice), []string{"other", ""}
		}
		for _, limit := range []struct {
			text    string
			outward int64
		}{{s.tag.Get("min"), -1}, {s.tag.Get("max"), 1}} {
			if limit.text == "" {
				continue
			}
			n, err := bound(s.kind, limit.text)
			require.NoError(t, err, s.name)
			good, bad = append(good, formatted(s.kind, n)), append(bad, formatted(s.kind, n+limit.outward))
		}
		const alone = "NIYANTA_HEARTBEAT_INTERVAL=100ms"
		for _, value := range good {
			if s.name == "WORKER_LEASE" {
				continue // at this bound, the lease would be shorter than three heartbeat intervals
			}
			assert.NotContains(t, problems(RoleDev, alone, Prefix+s.name+"="+value), Prefix+s.name+":",
				"%s=%s", s.name, value)
		}
		for _, value := range bad {
			if value == "" {
				continue // an empty value means the default
			}
			tried++
			assert.Contains(t, problems(RoleDev, Prefix+s.name+"="+value), Prefix+s.name+":", "%s=%s", s.name, value)
		}
	}
	assert.GreaterOrEqual(t, tried, 15)
	slots, err := bound(reflect.TypeFor[int](), tagOf("WorkerSlots", "max"))
	require.NoError(t, err)
	assert.EqualValues(t, domain.MaxSlots, slots)
	ttl, err := bound(reflect.TypeFor[time.Duration](), tagOf("LeaderTTL", "min"))
	require.NoError(t, err)
	assert.EqualValues(t, coordinator.MinLeaderTTL, ttl, "a leader has two tries of its renewal")
}

func tagOf(field, key string) string {
	f, _ := reflect.TypeFor[Config]().FieldByName(field)
	return f.Tag.Get(key)
}

func formatted(kind reflect.Type, n int64) string {
	if kind == reflect.TypeFor[time.Duration]() {
		return time.Duration(n).String()
	}
	return fmt.Sprint(n)
}

// described is a setting with its comment and tags.
type described struct {
	name, group, what string
	kind              reflect.Type
	tag               reflect.StructTag
}

// describedSettings reads Config: the comments from its source, everything else from its type.
func describedSettings(t *testing.T) []described {
	t.Helper()
	files := token.NewFileSet()
	source, err := parser.ParseFile(files, "config.go", nil, parser.ParseComments)
	require.NoError(t, err)
	config, ok := source.Scope.Lookup("Config").Decl.(*ast.TypeSpec).Type.(*ast.StructType)
	require.True(t, ok)
	comments := map[*ast.CommentGroup]bool{}
	for _, f := range config.Fields.List {
		comments[f.Doc] = true
	}
	var all []described
	group, next := "", 0
	for _, f := range config.Fields.List {
		for ; next < len(source.Comments) && source.Comments[next].Pos() < f.Pos(); next++ {
			if c := source.Comments[next]; c.Pos() > config.Pos() && !comments[c] {
				group = strings.TrimSpace(c.Text())
			}
		}
		field, ok := reflect.TypeFor[Config]().FieldByName(f.Names[0].Name)
		require.True(t, ok)
		if field.Tag.Get("env") == "" {
			continue // set by the command line
		}
		s := described{
			name: field.Tag.Get("env"), group: group, what: strings.Join(strings.Fields(f.Doc.Text()), " "),
			kind: field.Type, tag: field.Tag,
		}
		require.NotEmpty(t, s.what, "%s needs a comment that says what it does", s.name)
		require.NotEmpty(t, s.group, "%s needs a group", s.name)
		for _, role := range strings.Fields(s.tag.Get("roles")) {
			require.Contains(t, []Role{RoleDev, RoleServer, RoleCoordinator, RoleWorker, RoleMigrate, RoleScaleExporter},
				Role(role), s.name)
		}
		require.NotEmpty(t, s.tag.Get("roles"), "%s needs roles that read it", s.name)
		all = append(all, s)
	}
	return all
}

func renderSettings(t *testing.T, settings []described) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`# Settings

<!-- Generated from bootstrap/config.go by make generate. Change the comments and tags there. -->

Every setting is an environment variable. It is read once, when a process starts.

- A start with mistakes reports all of them and ends with status 2. A variable that begins with
  ` + "`NIYANTA_`" + ` and that nothing reads is one of them; the message names the nearest one.
- ` + "`niyanta config`" + ` prints the values in force. Secrets are masked.
- Durations are written like ` + "`250ms`, `2.5s`, `5m`, `1h`" + `. Switches are ` + "`true` or `false`" + `.
- A secret can come from a file: add ` + "`_FILE`" + ` to the variable's name and set it to the file's path.
  Setting both is a mistake. White space around the content is cut. The file has at most 64 KiB.
- "Read by" names the commands: ` + "`niyanta dev`, `niyanta coordinator`, `niyanta worker`" + ` and
  ` + "`niyanta migrate`" + `. The others ignore the variable, but a value that is not valid is a mistake for
  all of them. ` + "`niyanta dev`" + ` always keeps everything in memory.

| variable | default | read by |
|---|---|---|
`)
	for _, s := range settings {
		fmt.Fprintf(&b, "| [`%s%s`](#%s) | %s | %s |\n", Prefix, s.name, strings.ToLower(Prefix+s.name),
			orNone(s.tag.Get("envDefault")), s.roles())
	}
	group := ""
	for _, s := range settings {
		if s.group != group {
			group = s.group
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		fmt.Fprintf(&b, "\n### %s%s\n\n", Prefix, s.name)
		b.WriteString(wrapped(s.facts()))
		b.WriteString("\n" + wrapped(s.what))
	}
	b.WriteString("\n## Variables that are not settings of a server\n\n")
	for _, v := range elsewhere {
		fmt.Fprintf(&b, "- `%s`: %s\n", v.name, v.what)
	}
	b.WriteString("- `" + forTests + "…`: read by tests only.\n")
	b.WriteString("- What Kubernetes sets in every pod for a service named niyanta is left alone.\n")
	return b.String()
}

func orNone(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func (s described) roles() string { return strings.Join(strings.Fields(s.tag.Get("roles")), ", ") }

// facts describes the tags in one line.
func (s described) facts() string {
	facts := []string{"Default: none"}
	if d := s.tag.Get("envDefault"); d != "" {
		facts[0] = "Default: `" + d + "`"
	}
	switch choices := strings.Fields(s.tag.Get("choices")); {
	case len(choices) > 0:
		facts = append(facts, "one of `"+strings.Join(choices, "`, `")+"`")
	case s.kind == reflect.TypeFor[time.Duration]():
		facts = append(facts, "duration, "+between(s.tag.Get("min"), s.tag.Get("max")))
	case s.kind.Kind() == reflect.Int && s.tag.Get("min") != "":
		facts = append(facts, "number, "+between(s.tag.Get("min"), s.tag.Get("max")))
	case s.kind.Kind() == reflect.Bool:
		facts = append(facts, "switch")
	case s.kind.Kind() == reflect.Slice:
		facts = append(facts, "list")
	default:
		facts = append(facts, "text")
	}
	if s.tag.Get("secret") != "" {
		facts = append(facts, "secret, or in a file: `"+Prefix+s.name+fileSuffix+"`")
	}
	return strings.Join(facts, " · ") + " · read by " + s.roles()
}

// wrapped breaks text into lines of at most 100 columns.
func wrapped(text string) string {
	var b strings.Builder
	line := 0
	for word := range strings.FieldsSeq(text) {
		n := len([]rune(word))
		switch {
		case line > 0 && line+1+n > 100:
			b.WriteString("\n")
			line = 0
		case line > 0:
			b.WriteString(" ")
			line++
		}
		b.WriteString(word)
		line += n
	}
	return b.String() + "\n"
}
