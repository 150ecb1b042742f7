package contracttests

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	links    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headings = regexp.MustCompile(`(?m)^#+ +(.+?) *$`)
	fences   = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	code     = regexp.MustCompile("`[^`\n]*`")
	variable = regexp.MustCompile(`NIYANTA_[A-Z0-9_]*[A-Z0-9]`)
)

// TestDocuments_EveryRelativeLink_LeadsToAFileAndHeading follows the links of all Markdown files.
func TestDocuments_EveryRelativeLink_LeadsToAFileAndHeading(t *testing.T) {
	followed := 0
	for path, text := range documents(t) {
		text = code.ReplaceAllString(fences.ReplaceAllString(text, ""), "")
		for _, m := range links.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			followed++
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), target)
			}
			info, err := os.Stat(file)
			if err != nil {
				assert.Fail(t, "a link leads nowhere", "%s: %s: %v", path, m[1], err)
				continue
			}
			if anchor == "" {
				continue
			}
			if assert.False(t, info.IsDir(), "%s: %s", path, m[1]) {
				b, err := os.ReadFile(file)
				require.NoError(t, err)
				assert.Contains(t, anchors(string(b)), anchor, "%s: %s", path, m[1])
			}
		}
	}
	assert.Greater(t, followed, 100)
}

// TestDocuments_EveryVariableThatTheyName_IsReadByTheCode looks for each NIYANTA_ variable of the
// documents in the page of settings, which is generated, and in the sources that set or read other
// variables.
func TestDocuments_EveryVariableThatTheyName_IsReadByTheCode(t *testing.T) {
	sources, err := filepath.Glob("../adapters/workloads/*.go")
	require.NoError(t, err)
	known := map[string]bool{}
	for _, source := range append(sources, "../docs/operations/settings.md", "../adapters/process/supervise.go",
		"../scripts/production-set") {
		b, err := os.ReadFile(source)
		require.NoError(t, err)
		for _, name := range variable.FindAllString(string(b), -1) {
			known[name] = true
		}
	}
	for path, text := range documents(t) {
		if filepath.Base(path) == "CHANGELOG.md" {
			continue // it may name variables of the past
		}
		for _, name := range variable.FindAllString(text, -1) {
			assert.True(t, known[name] || strings.HasPrefix(name, "NIYANTA_TEST_"), "%s: nothing reads %s", path, name)
		}
	}
}

// documents returns the Markdown files of the repository by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "node_modules" ||
			d.Name() == "shared"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		b, err := os.ReadFile(path)
		found[path] = string(b)
		return err
	}))
	require.Contains(t, found, "../README.md")
	return found
}

// anchors returns the names of the headings of a document, as GitHub makes them.
func anchors(text string) []string {
	var names []string
	for _, m := range headings.FindAllStringSubmatch(fences.ReplaceAllString(text, ""), -1) {
		names = append(names, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return names
}
