package contracttests_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/niyanta/niyanta/"

// policy states which packages a package may import. The most special pattern that matches the
// package applies. A pattern that ends in "/..." matches everything below. "std" stands for the
// whole standard library, "pure" for its packages without I/O, "deps" for third-party modules, and
// "self" for the package's own folder.
var policy = []struct {
	path string
	may  []string
}{
	{"core/domain", []string{"domainstd"}},
	{"core/domain/placement", []string{"domainstd", "core/domain"}},
	{"core/ports", []string{"context", "errors", "io", "iter", "time", "core/domain"}},
	{"core/ports/mocks", []string{"std", "deps", "core/domain", "core/ports"}}, // generated, for tests
	{"core/services/...", []string{"pure", "core/domain", "core/domain/placement", "core/ports", "core/services/..."}},

	// The driven side of the worker protocol is a client: it knows no service.
	{"adapters/http/workerclient", []string{"std", "deps", "core/domain", "core/ports", "api/client"}},
	// The driving side presents what services return, the reasons why a workload waits among it.
	{"adapters/http/...", []string{
		"std", "deps", "self", "adapters/http/...", "adapters/internal/...", "core/domain",
		"core/domain/placement", "core/ports", "core/services/...", "api/openapi", "api/niyanta/...",
	}},
	// Code that several adapters share. No other package may import it.
	{"adapters/internal/...", []string{"std", "deps", "core/domain", "core/ports"}},
	// The console is files that a handler serves: it knows nothing of the core.
	{"adapters/console", []string{"std"}},
	{"adapters/...", []string{"std", "deps", "self", "core/domain", "core/ports", "adapters/internal/..."}},

	// Generated from the .proto files.
	{"api/niyanta/...", []string{"std", "deps", "api/niyanta/..."}},
	// Generated from the OpenAPI file; the worker protocol's types are the core's own.
	{"api/...", []string{"std", "deps", "core/domain", "core/ports"}},

	{"bootstrap", []string{"std", "deps", "core/...", "adapters/...", "sdk/..."}},
	{"cmd/...", []string{"std", "deps", "bootstrap", "sdk", "sdk/conformance"}},

	// The SDK uses it, too.
	{"adapters/certificates", []string{"std"}},

	// An SDK worker runs the worker's engine against HTTP with the machine's clock: never a store.
	{"sdk", []string{
		"std", "core/domain", "core/ports", "core/services/execution", "api/client", "adapters/certificates",
		"adapters/failover",
		"adapters/hardware", "adapters/http/workerclient", "adapters/http/workerserver", "adapters/process",
		"adapters/system",
	}},
	// The kit tries workers from outside: it shares no code with the coordinator.
	{"sdk/conformance", []string{"std"}},
	{"sdk/...", []string{"std", "core/domain", "core/ports", "sdk"}},
	{"chaos/worker", []string{"std", "bootstrap", "sdk", "core/ports"}},
	{"chaos", nil},           // tests only
	{"console/browser", nil}, // tests only
	{"deploy/...", nil},      // tests of manifests only
	{"examples/...", []string{"std", "self", "examples/...", "sdk"}},

	{"simulation/crashpoints", nil}, // tests only
	{"simulation/trace", []string{"std", "core/domain", "core/domain/placement"}},
	{"simulation/days", []string{"std", "core/...", "adapters/memory"}},
	{"simulation", []string{"std", "core/...", "adapters/memory", "adapters/zstd", "contracttests",
		"contracttests/invariants"}},

	{"contracttests", []string{"std", "deps", "core/domain", "core/ports", "contracttests/dear",
		"contracttests/testfiles"}},
	{"contracttests/apispec", []string{"std", "deps", "api/openapi"}},
	{"contracttests/defects", nil}, // a table and tests
	{"contracttests/invariants", []string{"std", "core/domain", "core/ports"}},
	{"contracttests/netfault", []string{"std", "deps"}},
	{"contracttests/previous", []string{"std", "deps"}},
	{"contracttests/servers", []string{"std", "deps", "contracttests/testfiles"}},
	{"contracttests/dear", []string{"std", "deps"}},
	{"contracttests/testfiles", []string{"std", "deps"}},
}

// domainStd is the short list of pure standard packages that the domain may use.
var domainStd = []string{
	"bytes", "cmp", "container/heap", "crypto/sha256", "encoding/base32", "encoding/base64", "encoding/binary",
	"encoding/hex", "encoding/json", "errors", "fmt", "hash/fnv", "maps", "math", "slices", "strconv", "strings",
	"time", "unicode", "unicode/utf16", "unicode/utf8",
}

// impure are the standard packages with I/O, processes or ambient state, which services may not
// use. Of "log" only log/slog is the core's, whose handler comes from outside.
var impure = []string{
	"crypto/rand", "database/sql", "embed", "expvar", "io/fs", "io/ioutil", "log", "math/rand", "math/rand/v2", "net",
	"os", "path/filepath", "plugin", "syscall", "testing", "unsafe", "runtime/pprof",
}

type pkg struct {
	ImportPath string
	Name       string
	Standard   bool
	Imports    []string
	Deps       []string
}

// violations applies the policy to a graph of packages.
func violations(pkgs []pkg) []string {
	standard := map[string]bool{}
	for _, p := range pkgs {
		standard[p.ImportPath] = p.Standard
	}
	var out []string
	for _, p := range pkgs {
		path, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		may, known := rulesFor(path)
		if !known {
			out = append(out, path+": the policy does not know this package")
			continue
		}
		for _, imp := range p.Imports {
			if !allowed(path, strings.TrimPrefix(imp, module), strings.HasPrefix(imp, module),
				standard[imp] || imp == "C" || imp == "unsafe", may) {
				out = append(out, path+" may not import "+imp)
			}
		}
		if p.Name == "main" {
			for _, dep := range p.Deps {
				if dep == "testing" || strings.HasPrefix(dep, "github.com/stretchr/testify") ||
					strings.HasPrefix(dep, "go.uber.org/mock") || strings.HasPrefix(dep, module+"contracttests") {
					out = append(out, path+" ships "+dep)
				}
			}
		}
	}
	sort.Strings(out)
	return out
}

func rulesFor(path string) ([]string, bool) {
	for _, r := range policy {
		if matches(r.path, path) {
			return r.may, true
		}
	}
	return nil, false
}

func matches(pattern, path string) bool {
	prefix, wild := strings.CutSuffix(pattern, "/...")
	return path == prefix || wild && strings.HasPrefix(path, prefix+"/")
}

func allowed(from, imp string, ours, std bool, may []string) bool {
	if ours && matches("adapters/internal/...", imp) && !strings.HasPrefix(from, "adapters/") {
		return false
	}
	for _, m := range may {
		switch m {
		case "std":
			if std {
				return true
			}
		case "deps":
			if !std && !ours {
				return true
			}
		case "pure":
			if std && (imp == "log/slog" ||
				!slices.ContainsFunc(impure, func(p string) bool { return matches(p+"/...", imp) })) {
				return true
			}
		case "domainstd":
			if slices.Contains(domainStd, imp) {
				return true
			}
		case "self":
			if ours && (matches(from+"/...", imp) || strings.HasPrefix(from, imp+"/")) {
				return true
			}
		default:
			if (ours || std) && matches(m, imp) {
				return true
			}
		}
	}
	return false
}

func TestArchitecture_Packages_ImportWhatThePolicyAllows(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Name,Standard,Imports,Deps",
		"./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	require.NoError(t, err)
	var pkgs []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		pkgs = append(pkgs, p)
	}
	require.Greater(t, len(pkgs), 20)
	for _, v := range violations(pkgs) {
		t.Error(v)
	}
}

func TestArchitecture_Policy_CatchesEachKindOfViolation(t *testing.T) {
	for name, p := range map[string]pkg{
		"technology in the domain": {ImportPath: "core/domain", Imports: []string{"net/http"}},
		"the scheduler in the domain": {
			ImportPath: "core/domain", Imports: []string{module + "core/domain/placement"},
		},
		"the scheduler in a port": {ImportPath: "core/ports", Imports: []string{module + "core/domain/placement"}},
		"the scheduler in a store": {
			ImportPath: "adapters/postgres", Imports: []string{module + "core/domain/placement"},
		},
		"a port in the scheduler":   {ImportPath: "core/domain/placement", Imports: []string{module + "core/ports"}},
		"third party in the domain": {ImportPath: "core/domain", Imports: []string{"github.com/x/y"}},
		"adapter in a service": {
			ImportPath: "core/services/lifecycle", Imports: []string{module + "adapters/memory"},
		},
		"I/O in a service":         {ImportPath: "core/services/lifecycle", Imports: []string{"os"}},
		"network in a service":     {ImportPath: "core/services/lifecycle", Imports: []string{"net/url"}},
		"randomness in a service":  {ImportPath: "core/services/lifecycle", Imports: []string{"math/rand/v2"}},
		"third party in a service": {ImportPath: "core/services/lifecycle", Imports: []string{"github.com/x/y"}},
		"an adapter in another":    {ImportPath: "adapters/nats", Imports: []string{module + "adapters/memory"}},
		"an adapter in the shared": {
			ImportPath: "adapters/internal/link", Imports: []string{module + "adapters/memory"},
		},
		"the shared in bootstrap": {ImportPath: "bootstrap", Imports: []string{module + "adapters/internal/link"}},
		"a service in an adapter": {
			ImportPath: "adapters/nats", Imports: []string{module + "core/services/lifecycle"},
		},
		"an adapter in a command": {ImportPath: "cmd/niyanta", Imports: []string{module + "adapters/memory"}},
		"a store in the sdk":      {ImportPath: "sdk", Imports: []string{module + "adapters/memory"}},
		"a service in a port": {
			ImportPath: "core/ports", Imports: []string{module + "core/services/lifecycle"},
		},
		"the core in an example":       {ImportPath: "examples/x", Imports: []string{module + "core/domain"}},
		"an adapter in contract tests": {ImportPath: "contracttests", Imports: []string{module + "adapters/memory"}},
		"an unknown folder":            {ImportPath: "pkg/util"},
		"a test library shipped":       {ImportPath: "cmd/niyanta", Name: "main", Deps: []string{"testing"}},
	} {
		p.ImportPath = module + p.ImportPath
		graph := []pkg{p}
		for _, std := range []string{"net/http", "os", "net/url", "math/rand/v2"} {
			graph = append(graph, pkg{ImportPath: std, Standard: true})
		}
		assert.Len(t, violations(graph), 1, name)
	}
	assert.Empty(t, violations([]pkg{{ImportPath: module + "adapters/http/gen",
		Imports: []string{module + "core/domain"}}}))
}

// ambient are the calls by which the core would read the clock, randomness, the environment, or
// make a context of its own.
var ambient = map[string][]string{
	"time":    {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"},
	"os":      {"Getenv", "LookupEnv", "Environ"},
	"context": {"Background", "TODO"},
	"fmt":     {"Print", "Printf", "Println"},
}

func TestArchitecture_Core_ReadsNoClockRandomnessOrEnvironment(t *testing.T) {
	err := filepath.WalkDir("../core", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(ambient[x.Name], sel.Sel.Name) {
					t.Errorf("%s: %s.%s", path, x.Name, sel.Sel.Name)
				}
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
}

func TestArchitecture_Files_StayShort(t *testing.T) {
	const limit = 450
	for path, text := range writtenFiles(t) {
		if n := strings.Count(text, "\n"); n > limit {
			t.Errorf("%s has %d lines, more than %d", path, n, limit)
		}
	}
}

// Lines that can't be broken may be longer: the tags of a field and directives.
func TestArchitecture_Lines_StayNarrow(t *testing.T) {
	const limit = 120
	for path, text := range writtenFiles(t) {
		for n, line := range strings.Split(text, "\n") {
			unbreakable := strings.HasPrefix(line, "//go:") || fieldWithTags.MatchString(line)
			if width := utf8.RuneCountInString(line); width > limit && !unbreakable {
				t.Errorf("%s:%d has %d columns, more than %d", path, n+1, width, limit)
			}
		}
	}
}

// fieldWithTags matches a line that declares a field with tags.
var fieldWithTags = regexp.MustCompile("^\t+\\w+ [\\w.]+ `\\w+:\"[^`]*`$")

// writtenFiles returns the Go files that were not generated, by path.
func writtenFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		generated := strings.HasSuffix(path, ".gen.go") || strings.HasSuffix(path, ".pb.go") ||
			strings.HasSuffix(path, ".connect.go") || strings.HasSuffix(path, "_gen.go") ||
			strings.Contains(path, "mock_")
		if !strings.HasSuffix(path, ".go") || generated {
			return nil
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	}))
	require.Greater(t, len(files), 300)
	return files
}

// The dependencies of services are unexported, so that callers cannot reach a port through a
// service.
func TestArchitecture_Services_HaveNoExportedFieldsAndEmbedNoDependencies(t *testing.T) {
	services := 0
	err := filepath.WalkDir("../core/services", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok && spec.Name.Name == "Service" {
				services++
				for _, f := range s.Fields.List {
					assert.NotEmpty(t, f.Names, "%s: Service embeds a type", path)
					for _, name := range f.Names {
						assert.False(t, name.IsExported(), "%s: Service exports %s", path, name.Name)
					}
				}
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, services, 8)
}
