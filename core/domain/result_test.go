package domain

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func nested(levels int) JSON {
	return JSON(strings.Repeat("[", levels) + strings.Repeat("]", levels))
}

func TestCleanResult_WhenSound_IsKeptCompact(t *testing.T) {
	for in, want := range map[JSON]JSON{
		"":                                    "",
		"null":                                "",
		" { \"a\" : [ 1 , 2.50e+3 ] } ":       `{"a":[1,2.50e+3]}`,
		`"x y"`:                               `"x y"`,
		"true":                                "true",
		"[ ]":                                 "[]",
		`{"a":{"a":1},"b":[{"a":1},{"a":2}]}`: `{"a":{"a":1},"b":[{"a":1},{"a":2}]}`,
		`"\ud83d\ude00 \n\u00e9"`:             `"\ud83d\ude00 \n\u00e9"`,
		`"\u003cb\u003e \u0026"`:              `"<b> &"`,
		nested(61):                            nested(61),
		nested(MaxResultDepth):                nested(MaxResultDepth),
		JSON(`"` + strings.Repeat("x", MaxResult-2) + `"`): JSON(`"` + strings.Repeat("x", MaxResult-2) + `"`),
	} {
		assert.Equal(t, want, CleanResult(in), "%.60s", in)
	}
}

func TestCleanResult_WhenItCannotBeKeptExactly_IsEncoded(t *testing.T) {
	for _, c := range []struct {
		name, in, contentType string
		flaw                  Flaw
	}{
		{"an escaped NUL", `{"a":"\u0000"}`, "application/json", FlawNUL},
		{"an escaped NUL in a key", `{"\u0000":1}`, "application/json", FlawNUL},
		{"a raw NUL", "\"a\x00b\"", "application/octet-stream", FlawNotJSON},
		{"a byte that is not UTF-8", "\"\xff\"", "application/octet-stream", FlawInvalidUTF8},
		{"a lone high surrogate", `"\ud800"`, "application/json", FlawLoneSurrogate},
		{"a lone low surrogate", `"\udc00\ud800"`, "application/json", FlawLoneSurrogate},
		{"a high surrogate before another escape", `"\ud800\u0041"`, "application/json", FlawLoneSurrogate},
		{"a key twice", `{"a":1,"a":2}`, "application/json", FlawDuplicateKey},
		{"a key twice, escaped", `{"a":1,"\u0061":2}`, "application/json", FlawDuplicateKey},
		{"70 levels", string(nested(70)), "application/json", FlawTooDeep},
		{"10,000 levels", string(nested(10_000)), "application/json", FlawTooDeep},
		{"100,000 levels", string(nested(100_000)), "application/json", FlawTooDeep},
		{"text", "hello", "text/plain; charset=utf-8", FlawNotJSON},
		{"half an object", `{"a":`, "text/plain; charset=utf-8", FlawNotJSON},
		{"NaN", `NaN`, "text/plain; charset=utf-8", FlawNotJSON},
		{"two values", `{} {}`, "text/plain; charset=utf-8", FlawNotJSON},
		{"white space", " \n", "text/plain; charset=utf-8", FlawNotJSON},
		{"a comma too many", `[1,]`, "text/plain; charset=utf-8", FlawNotJSON},
		{"a raw line break", "\"a\nb\"", "text/plain; charset=utf-8", FlawNotJSON},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := CleanResult(JSON(c.in))
			e, data, ok := DecodeResult(got)
			require.True(t, ok)
			assert.Equal(t, c.in, string(data))
			e.Data = ""
			assert.Equal(t, EncodedResult{Encoding: "base64", ContentType: c.contentType, Reason: c.flaw,
				Size: len(c.in)}, e)
			assert.Equal(t, got, CleanResult(got), "cleaning twice changes nothing")
		})
	}
}

func TestShortenResult_WhenShortenedAgain_KeepsTheBeginningOfTheResult(t *testing.T) {
	result := JSON(`"` + strings.Repeat("0123456789", 100_000) + `"`)
	for name, in := range map[string]JSON{"sound": result, "not JSON": result[1:]} {
		got := in
		for limit := 512 << 10; limit >= 8<<10; limit /= 2 {
			got = ShortenResult(got, limit)
			assert.LessOrEqual(t, len(got), limit, name)
		}
		e, data, ok := DecodeResult(got)
		require.True(t, ok, name)
		assert.True(t, e.Truncated, name)
		assert.Equal(t, len(in), e.Size, name)
		assert.Greater(t, len(data), 5<<10, name)
		assert.True(t, strings.HasPrefix(string(in), string(data)), name)
	}
}

func TestCleanResult_WhenTooLarge_KeepsItsBeginningAndSaysSo(t *testing.T) {
	for _, in := range []JSON{
		JSON(`"` + strings.Repeat("x", 2<<20) + `"`),
		JSON(`"` + strings.Repeat("x", MaxResult-1) + `"`),
		JSON(strings.Repeat("\xff", 2<<20)),
	} {
		got := CleanResult(in)
		require.LessOrEqual(t, len(got), MaxResult)
		var e EncodedResult
		require.NoError(t, json.Unmarshal([]byte(got), &e))
		data, err := base64.StdEncoding.DecodeString(e.Data)
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(string(in), string(data)))
		assert.Greater(t, len(data), MaxResult*7/10)
		assert.Equal(t, len(in), e.Size)
		assert.True(t, e.Truncated)
		assert.Equal(t, got, CleanResult(got))
	}
}

func TestDecodeResult_OfAnythingElse_SaysSo(t *testing.T) {
	for _, kept := range []JSON{
		"", "null", "7", `{"encoding":"base64"}`,
		`{"encoding":"base64","content_type":"x","reason":"because","size":1,"truncated":false,"data":"YQ=="}`,
		`{"encoding":"base64","content_type":"x","reason":"nul","size":2,"truncated":false,"data":"YQ=="}`,
		`{"encoding":"base64","content_type":"x","reason":"nul","size":1,"truncated":false,"data":"YQ==","more":1}`,
	} {
		_, _, ok := DecodeResult(kept)
		assert.False(t, ok, kept)
	}
}

func TestCleanResult_OfWhatIsMadeToCostMemory_CostsLittle(t *testing.T) {
	const size = 8 << 20
	for name, in := range map[string]string{
		"levels": strings.Repeat("[", size), "objects": strings.Repeat(`{"a":`, size/5),
		"keys": "{" + keysOf(size/12) + `"z":1}`, "brackets": "[" + strings.Repeat("{},", size/3) + "{}]",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		CleanResult(JSON(in))
		runtime.ReadMemStats(&after)
		assert.Less(t, (after.TotalAlloc-before.TotalAlloc)/uint64(len(in)), uint64(30),
			"%s: bytes allocated per byte", name)
	}
}

func keysOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%07d":1,`, i)
	}
	return b.String()
}

func TestShortenResult_KeepsToTheCarriersLimit(t *testing.T) {
	long := JSON(`"` + strings.Repeat("x", 100_000) + `"`)
	assert.LessOrEqual(t, len(ShortenResult(long, 50_000)), 50_000)
	assert.Equal(t, JSON(`{"a":1}`), ShortenResult(`{"a":1}`, 50_000))
	assert.LessOrEqual(t, len(ShortenResult(long, 0)), minResult)
}

// What comes back is always sound JSON of a bounded size, and cleaning again changes nothing.
func checkCleaned(t interface{ Fatalf(string, ...any) }, in string) {
	got := CleanResult(JSON(in))
	if got == "" {
		if in != "" && strings.TrimSpace(in) != "null" {
			t.Fatalf("%q was lost", in)
		}
		return
	}
	if !json.Valid([]byte(got)) || !utf8.ValidString(string(got)) || len(got) > MaxResult ||
		strings.Contains(string(got), `\u0000`) {
		t.Fatalf("%q became %q", in, got)
	}
	if again := CleanResult(got); again != got {
		t.Fatalf("%q became %q, then %q", in, got, again)
	}
	var was, is any
	if json.Unmarshal([]byte(in), &was) != nil {
		return
	}
	var e EncodedResult
	if json.Unmarshal([]byte(got), &e) == nil && e.Encoding == "base64" {
		return
	}
	_ = json.Unmarshal([]byte(got), &is) // valid
	a, _ := json.Marshal(was)
	b, _ := json.Marshal(is)
	if string(a) != string(b) {
		t.Fatalf("%s became %s", a, b)
	}
}

func TestCleanResult_OfAnything_IsSoundJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.SampledFrom([]string{
			"{", "}", "[", "]", ",", ":", `"a"`, `"b"`, "1", "-0.5e3", "null", "true",
			`"\u0000"`, `"\ud800"`, `"\ud83d\ude00"`, "\xff", "\x00", " ",
			`"`, `\`, `"\u003c"`, "nul",
		})).Draw(t, "pieces")
		checkCleaned(t, strings.Join(pieces, ""))
		checkCleaned(t, string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")))
	})
}

func FuzzCleanResult(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":[1,{"b":null}],"a":2}`, `[[[[`, "\"\xff\"", `{"a":"\ud800"}`, `"\u003c\u2028"`, "null",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkCleaned(t, s) })
}

func TestFailure_Clean_KeepsItsMessage(t *testing.T) {
	got := Failure{Type: "", Message: "no\x00 space \xff left", Permanent: true}.Clean()
	assert.Equal(t, Failure{Type: "error", Message: "no space \uFFFD left", Permanent: true}, got)
	long := Failure{Type: strings.Repeat("t", 200), Message: strings.Repeat("é", MaxFailureMessage)}.Clean()
	assert.LessOrEqual(t, len(long.Message), MaxFailureMessage)
	assert.LessOrEqual(t, len(long.Type), MaxFailureType)
	assert.True(t, strings.HasSuffix(long.Message, cutMark))
	assert.True(t, utf8.ValidString(long.Message))
	assert.Equal(t, long, long.Clean())
}

func TestLogLevel_KnowsTheNamesOfOthers(t *testing.T) {
	for name, want := range map[string]string{
		"": LevelInfo, "INFO": LevelInfo, "Warning": LevelWarn, "fatal": LevelError, "debug": LevelDebug,
	} {
		got, ok := LogLevel(name)
		assert.True(t, ok, name)
		assert.Equal(t, want, got, name)
	}
	for _, name := range []string{"banana", "in\x00fo", strings.Repeat("x", 1<<20)} {
		_, ok := LogLevel(name)
		assert.False(t, ok)
	}
}
