package domain

import "strings"

// CleanText makes text from outside fit for JSON and every store: valid UTF-8, without NUL. What is not is replaced or left out,
// never refused: a message must not cost the outcome that it comes with.
func CleanText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}
